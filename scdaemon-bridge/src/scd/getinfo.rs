//! GETINFO: facts about the daemon.

use super::{Code, Session};
use crate::assuan::Options;

/// What `GETINFO version` answers. gpg warns if its scdaemon is older than itself, so this is newer than any gpg that
/// is supported; the program's own version is `GETINFO sealcard_version`.
const VERSION: &str = "2.5.99";

/// Options that a client may look for before it uses them.
const COMMAND_OPTIONS: [(&str, &[&str]); 7] = [
    ("SERIALNO", &["demand", "all"]),
    ("LEARN", &["force", "keypairinfo", "multi", "reread", "demand"]),
    ("READKEY", &["advanced", "format", "info", "info-only"]),
    ("KEYINFO", &["list", "data"]),
    ("SETDATA", &["append"]),
    ("PKSIGN", &["hash"]),
    ("DEVINFO", &["watch"]),
];

impl Session {
    /// `GETINFO what [arguments]`
    pub(super) fn getinfo(&mut self, options: &Options<'_>) -> Result<(), Code> {
        let registry = self.daemon.registry();
        let what = options.argument(0).ok_or(Code::PARAMETER)?;
        match what {
            "version" => self.reply.data(VERSION.as_bytes()),
            "sealcard_version" => self.reply.data(env!("CARGO_PKG_VERSION").as_bytes()),
            // OK if an upgrade has put another program in this one's place.
            "sealcard_replaced" => return if self.daemon.is_replaced() { Ok(()) } else { Err(Code::FALSE) },
            "pid" => self.reply.data(std::process::id().to_string().as_bytes()),
            "socket_name" => {
                use std::os::unix::ffi::OsStrExt as _;
                let path = self.daemon.socket().ok_or(Code::NOT_FOUND)?;
                self.reply.data(path.as_os_str().as_bytes());
            }
            "connections" => self.reply.data(self.daemon.sessions().to_string().as_bytes()),
            "status" => self.reply.data(if registry.first().is_some() { b"u" } else { b"r" }),
            "reader_list" => self.reply.data(b"Sealcard\n"),
            "app_list" => self.reply.data(b"openpgp:\n"),
            // An OK means that administration is denied, and it is: nothing here can be administered.
            "deny_admin" => {}
            "card_list" => {
                // Nothing may stand behind the number: gpg-agent 2.2 demands hexadecimal digits to the end of the line.
                for card in registry.listed() {
                    self.reply.status("SERIALNO", card.serial());
                }
            }
            "active_apps" => {
                let card = self.card()?;
                self.reply.status("SERIALNO", &format!("{} openpgp", card.serial()));
            }
            "all_active_apps" => {
                for card in registry.listed() {
                    self.reply.status("SERIALNO", &format!("{} openpgp", card.serial()));
                }
            }
            "cmd_has_option" => {
                let (Some(command), Some(option)) = (options.argument(1), options.argument(2)) else {
                    return Err(Code::PARAMETER);
                };
                let mut known = COMMAND_OPTIONS.iter();
                let found = known.any(|(name, all)| name.eq_ignore_ascii_case(command) && all.contains(&option));
                return if found { Ok(()) } else { Err(Code::FALSE) };
            }
            "manufacturer" => {
                let number: u32 = options.argument(1).and_then(|text| text.parse().ok()).ok_or(Code::PARAMETER)?;
                let name: &[u8] = if (0xFF00..0xFFFF).contains(&number) { b"Sealcard" } else { b"" };
                self.reply.data(name);
            }
            "apdu_strerror" => self.reply.data(options.argument(1).ok_or(Code::PARAMETER)?.as_bytes()),
            "dump_state" => {}
            _ => return Err(Code::PARAMETER),
        }
        Ok(())
    }
}
