//! From a line to a command: the only place that reads names, options and arguments.

use nix::sys::signal::Signal;

use super::{Command, Info, KeyFormat, KeyUsage, MAX_RANDOM};
use crate::{
    assuan::CommandLine,
    scd::{Code, keys::parse_hex},
};

impl<'a> TryFrom<CommandLine<'a>> for Command<'a> {
    type Error = Code;

    /// # Errors
    ///
    /// [`Code::UNKNOWN_COMMAND`], or what is wrong with the arguments.
    fn try_from(line: CommandLine<'a>) -> Result<Self, Code> {
        let definition = definition(line.name).ok_or(Code::UNKNOWN_COMMAND)?;
        (definition.read)(line)
    }
}

/// A command as the trace shows it. Data are told by their size alone, and of commands that could carry a PIN or a
/// key only the name is told.
pub(in super::super) fn traced(line: &CommandLine<'_>) -> String {
    let name = line.name.to_ascii_uppercase();
    match definition(line.name).map(|definition| definition.shown) {
        Some(Shown::Line) => format!("{name} {}", line.rest).trim_end().to_owned(),
        Some(Shown::Size) => {
            let data = line.rest.rsplit(' ').next().unwrap_or_default();
            format!("{name} [{} bytes]", data.len() / 2)
        }
        Some(Shown::Name) | None => name.chars().take(32).collect(),
    }
}

/// What there is to know of a command by its name.
struct Definition {
    /// In capitals.
    name: &'static str,
    shown: Shown,
    /// Options that a client may look for before it uses them.
    options: &'static [&'static str],
    read: for<'a> fn(CommandLine<'a>) -> Result<Command<'a>, Code>,
}

/// How much of a line the trace shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Line,
    /// The name and the size of the data.
    Size,
    Name,
}

const fn define(
    name: &'static str,
    shown: Shown,
    options: &'static [&'static str],
    read: for<'a> fn(CommandLine<'a>) -> Result<Command<'a>, Code>,
) -> Definition {
    Definition { name, shown, options, read }
}

/// Every command.
const DEFINITIONS: &[Definition] = &[
    define("SERIALNO", Shown::Line, &["demand", "all"], serialno),
    define("LEARN", Shown::Line, &["force", "keypairinfo", "multi", "reread", "demand"], learn),
    define("READKEY", Shown::Line, &["advanced", "format", "info", "info-only"], readkey),
    define("READCERT", Shown::Line, &[], |line| first(line).map(|_| Command::ReadCert)),
    define("KEYINFO", Shown::Line, &["list", "data"], keyinfo),
    define("SETDATA", Shown::Size, &["append"], setdata),
    define("PKSIGN", Shown::Line, &["hash"], |line| {
        let options = line.options();
        Ok(Command::PkSign { keyref: options.argument(0), hash: options.value("hash") })
    }),
    define("PKAUTH", Shown::Line, &[], |line| {
        let options = line.options();
        let challenge_response = options.has("challenge-response");
        Ok(Command::PkAuth { keyref: options.argument(0), challenge_response })
    }),
    define("PKDECRYPT", Shown::Line, &[], |line| Ok(Command::PkDecrypt { keyref: line.options().argument(0) })),
    define("GETATTR", Shown::Line, &[], |line| {
        Ok(Command::GetAttr { name: first(line)?, keyref: line.options().argument(1) })
    }),
    define("RANDOM", Shown::Name, &[], random),
    define("CHECKPIN", Shown::Line, &[], |_| Ok(Command::CheckPin)),
    define("LOCK", Shown::Line, &[], |line| Ok(Command::Lock { wait: line.options().has("wait") })),
    define("UNLOCK", Shown::Line, &[], |_| Ok(Command::Unlock)),
    define("GETINFO", Shown::Line, &[], |line| getinfo(line).map(Command::GetInfo)),
    define("SWITCHCARD", Shown::Line, &[], |line| Ok(Command::SwitchCard { serial: line.options().argument(0) })),
    define("SWITCHAPP", Shown::Line, &[], |line| Ok(Command::SwitchApp { application: line.options().argument(0) })),
    define("DEVINFO", Shown::Line, &["watch"], |line| Ok(Command::DevInfo { watch: line.options().has("watch") })),
    define("SETATTR", Shown::Name, &[], |_| Ok(Command::Administer)),
    define("WRITEKEY", Shown::Name, &[], |_| Ok(Command::Administer)),
    define("WRITECERT", Shown::Name, &[], |_| Ok(Command::Administer)),
    define("GENKEY", Shown::Name, &[], |_| Ok(Command::Administer)),
    define("PASSWD", Shown::Name, &[], |_| Ok(Command::Administer)),
    define("APDU", Shown::Name, &[], |_| Ok(Command::Administer)),
    define("DISCONNECT", Shown::Name, &[], |_| Ok(Command::Disconnect)),
    define("RESTART", Shown::Line, &[], |_| Ok(Command::Restart)),
    define("RESET", Shown::Name, &[], |_| Ok(Command::Restart)),
    define("OPTION", Shown::Name, &[], |line| Ok(option(line))),
    define("NOP", Shown::Name, &[], |_| Ok(Command::Nothing)),
    define("CANCEL", Shown::Name, &[], |_| Ok(Command::Nothing)),
    define("CAN", Shown::Name, &[], |_| Ok(Command::Nothing)),
    define("END", Shown::Name, &[], |_| Ok(Command::Nothing)),
    define("QUIT", Shown::Name, &[], |_| Ok(Command::Nothing)),
    define("HELP", Shown::Name, &[], |_| Ok(Command::Help)),
    define("BYE", Shown::Name, &[], |_| Ok(Command::Bye)),
    define("KILLSCD", Shown::Name, &[], |_| Ok(Command::KillScd)),
];

fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name.eq_ignore_ascii_case(name))
}

/// The first argument, without which the command means nothing.
fn first(line: CommandLine<'_>) -> Result<&str, Code> {
    line.options().argument(0).ok_or(Code::PARAMETER)
}

fn serialno(line: CommandLine<'_>) -> Result<Command<'_>, Code> {
    let options = line.options();
    match options.argument(0) {
        None => {}
        Some(name) if name.eq_ignore_ascii_case("openpgp") || name.eq_ignore_ascii_case("undefined") => {}
        Some(_) => return Err(Code::NOT_SUPPORTED),
    }
    Ok(Command::SerialNo { demand: options.value("demand"), all: options.has("all") })
}

fn learn(line: CommandLine<'_>) -> Result<Command<'_>, Code> {
    let options = line.options();
    Ok(Command::Learn {
        demand: options.value("demand"),
        force: options.has("force"),
        only_keys: options.has("keypairinfo"),
    })
}

fn readkey(line: CommandLine<'_>) -> Result<Command<'_>, Code> {
    let options = line.options();
    let format = match options.value("format") {
        _ if options.has("advanced") => KeyFormat::Advanced,
        None => KeyFormat::Canonical,
        Some("advanced") => KeyFormat::Advanced,
        Some("ssh") => KeyFormat::Ssh,
        Some(_) => KeyFormat::Unknown,
    };
    let info_only = options.has("info-only");
    Ok(Command::ReadKey { keyref: first(line)?, info: info_only || options.has("info"), info_only, format })
}

fn keyinfo(line: CommandLine<'_>) -> Result<Command<'_>, Code> {
    let options = line.options();
    let as_data = options.has("data");
    if !options.has("list") {
        let grip = first(line)?.parse().map_err(|_| Code::INV_ID)?;
        return Ok(Command::KeyInfo { grip, as_data });
    }
    let usage = match options.value("list") {
        None | Some("") => KeyUsage::Any,
        Some("sign") => KeyUsage::Sign,
        Some("encr") => KeyUsage::Encrypt,
        Some("auth") => KeyUsage::Authenticate,
        Some(_) => return Err(Code::PARAMETER),
    };
    Ok(Command::ListKeys { usage, as_data })
}

fn setdata(line: CommandLine<'_>) -> Result<Command<'_>, Code> {
    let options = line.options();
    let data = parse_hex(options.arguments()).filter(|data| !data.is_empty()).ok_or(Code::PARAMETER)?;
    Ok(Command::SetData { data: data.into(), append: options.has("append") })
}

fn random(line: CommandLine<'_>) -> Result<Command<'_>, Code> {
    match first(line)?.parse().map_err(|_| Code::PARAMETER)? {
        len @ 1..=MAX_RANDOM => Ok(Command::Random { len }),
        _ => Err(Code::INV_VALUE),
    }
}

fn getinfo(line: CommandLine<'_>) -> Result<Info<'_>, Code> {
    let options = line.options();
    Ok(match first(line)? {
        "version" => Info::Version,
        "sealcard_version" => Info::SealcardVersion,
        "sealcard_replaced" => Info::SealcardReplaced,
        "pid" => Info::Pid,
        "socket_name" => Info::SocketName,
        "connections" => Info::Connections,
        "status" => Info::Status,
        "reader_list" => Info::ReaderList,
        "app_list" => Info::AppList,
        "deny_admin" => Info::DenyAdmin,
        "card_list" => Info::CardList,
        "active_apps" => Info::ActiveApps,
        "all_active_apps" => Info::AllActiveApps,
        "cmd_has_option" => {
            let (Some(command), Some(option)) = (options.argument(1), options.argument(2)) else {
                return Err(Code::PARAMETER);
            };
            Info::CommandHasOption(definition(command).is_some_and(|known| known.options.contains(&option)))
        }
        "manufacturer" => {
            Info::Manufacturer(options.argument(1).and_then(|text| text.parse().ok()).ok_or(Code::PARAMETER)?)
        }
        "apdu_strerror" => Info::ApduError(options.argument(1).ok_or(Code::PARAMETER)?),
        "dump_state" => Info::DumpState,
        _ => return Err(Code::PARAMETER),
    })
}

/// `OPTION name[=value]`, also with `--` before it and a blank before the value.
fn option(line: CommandLine<'_>) -> Command<'_> {
    let rest = line.rest.trim_start_matches("--");
    let (name, value) = rest.split_once(['=', ' ']).unwrap_or((rest, ""));
    if name.trim() != "event-signal" {
        return Command::OtherOption;
    }
    let number = value.trim().parse::<i32>().ok();
    Command::EventSignal(number.and_then(|number| Signal::try_from(number).ok()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Result<Command<'_>, Code> {
        Command::try_from(CommandLine::parse(line.as_bytes()).unwrap())
    }

    #[test]
    fn names_are_in_capitals_and_each_is_defined_once() {
        let names: HashSet<_> = DEFINITIONS.iter().map(|definition| definition.name).collect();
        assert_eq!(names.len(), DEFINITIONS.len());
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_uppercase())));
    }

    #[test]
    fn arguments_become_fields() {
        let grip = "00112233445566778899AABBCCDDEEFF00112233";
        assert_eq!(read("SERIALNO --demand=D276 --all"), Ok(Command::SerialNo { demand: Some("D276"), all: true }));
        assert_eq!(
            read("READKEY --info-only --advanced --format=ssh -- OPENPGP.1"),
            Ok(Command::ReadKey { keyref: "OPENPGP.1", info: true, info_only: true, format: KeyFormat::Advanced })
        );
        assert_eq!(
            read("KEYINFO --list=auth --data"),
            Ok(Command::ListKeys { usage: KeyUsage::Authenticate, as_data: true })
        );
        assert_eq!(
            read(&format!("keyinfo {grip}")),
            Ok(Command::KeyInfo { grip: grip.parse().unwrap(), as_data: false })
        );
        assert_eq!(read("SETDATA --append 00 FF"), Ok(Command::SetData { data: vec![0, 255].into(), append: true }));
        assert_eq!(read("PKSIGN --hash=none x"), Ok(Command::PkSign { keyref: Some("x"), hash: Some("none") }));
        assert_eq!(read("PKDECRYPT"), Ok(Command::PkDecrypt { keyref: None }));
        assert_eq!(read("RANDOM 4096"), Ok(Command::Random { len: 4096 }));
        assert_eq!(read("OPTION --event-signal 12"), Ok(Command::EventSignal(Some(Signal::SIGUSR2))));
        assert_eq!(read("OPTION event-signal=999"), Ok(Command::EventSignal(None)));
        assert_eq!(read("OPTION lc-ctype=C"), Ok(Command::OtherOption));
        assert_eq!(read("GETINFO cmd_has_option serialno all"), Ok(Command::GetInfo(Info::CommandHasOption(true))));
        assert_eq!(read("GETINFO cmd_has_option NOP all"), Ok(Command::GetInfo(Info::CommandHasOption(false))));
        assert_eq!(read("PASSWD --reset 1"), Ok(Command::Administer));
    }

    #[test]
    fn wrong_arguments_have_their_codes() {
        for (line, code) in [
            ("FOO", Code::UNKNOWN_COMMAND),
            ("SERIALNO nks", Code::NOT_SUPPORTED),
            ("READKEY --info", Code::PARAMETER),
            ("READCERT", Code::PARAMETER),
            ("KEYINFO", Code::PARAMETER),
            ("KEYINFO 1234", Code::INV_ID),
            ("KEYINFO --list=all", Code::PARAMETER),
            ("SETDATA", Code::PARAMETER),
            ("SETDATA 0", Code::PARAMETER),
            ("SETDATA ZZ", Code::PARAMETER),
            ("GETATTR", Code::PARAMETER),
            ("RANDOM many", Code::PARAMETER),
            ("RANDOM 0", Code::INV_VALUE),
            ("RANDOM 4097", Code::INV_VALUE),
            ("GETINFO", Code::PARAMETER),
            ("GETINFO nothing", Code::PARAMETER),
            ("GETINFO cmd_has_option SERIALNO", Code::PARAMETER),
            ("GETINFO manufacturer x", Code::PARAMETER),
        ] {
            assert_eq!(read(line), Err(code), "{line}");
        }
    }

    #[test]
    fn the_trace_tells_no_data_and_no_pin() {
        let traced = |line: &str| traced(&CommandLine::parse(line.as_bytes()).unwrap());
        assert_eq!(traced("pksign --hash=sha256 OPENPGP.1"), "PKSIGN --hash=sha256 OPENPGP.1");
        assert_eq!(traced("SETDATA --append 00112233"), "SETDATA [4 bytes]");
        for name in ["PASSWD", "WRITEKEY", "APDU", "SETATTR", "NONSENSE"] {
            assert_eq!(traced(&format!("{name} 123456")), name);
        }
    }

    proptest! {
        #[test]
        fn case_of_a_name_does_not_matter(
            at in 0..DEFINITIONS.len(),
            capitals in any::<u16>(),
            rest in "(--[a-z-]{1,12}(=[ -~]{0,8})? ){0,3}[ -~]{0,40}",
        ) {
            let name = DEFINITIONS.get(at).unwrap().name;
            let mixed: String = name.chars().enumerate()
                .map(|(at, c)| if capitals >> at & 1 == 0 { c.to_ascii_lowercase() } else { c }).collect();
            let (mixed, capitals) = (format!("{mixed} {rest}"), format!("{name} {rest}"));
            prop_assert_eq!(read(&mixed), read(&capitals));
        }

        #[test]
        fn any_line_is_a_command_or_has_a_code(line: Vec<u8>) {
            if let Some(line) = CommandLine::parse(&line) {
                let known = DEFINITIONS.iter().any(|known| known.name.eq_ignore_ascii_case(line.name));
                prop_assert_eq!(Command::try_from(line) == Err(Code::UNKNOWN_COMMAND), !known);
            }
        }

        #[test]
        fn lengths_that_are_read_are_in_bounds(len: u32, hex in "[0-9A-Fa-f ]{0,60}") {
            if let Ok(Command::Random { len }) = read(&format!("RANDOM {len}")) {
                prop_assert!((1..=MAX_RANDOM).contains(&len));
            }
            if let Ok(Command::SetData { data, .. }) = read(&format!("SETDATA {hex}")) {
                let digits = hex.chars().filter(|c| *c != ' ').count();
                prop_assert!(!data.as_slice().is_empty() && data.as_slice().len() * 2 == digits);
            }
        }
    }
}
