//! The commands: which there are. `read` reads them from their lines.

mod read;

pub(super) use read::traced;

use nix::sys::signal::Signal;
use sealcard_api::Bytes;

use crate::cards::Keygrip;

/// A command with its arguments. What only a card can judge, such as the name of a key, is still text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// `SERIALNO [--demand=SN] [--all] [app]`
    SerialNo {
        /// The card that is wanted; else the current one, or the first.
        demand: Option<&'a str>,
        /// Whether no card is no error.
        all: bool,
    },
    /// `LEARN [--force] [--keypairinfo] [--multi] [--reread] [--demand=SN] [grip]`
    Learn {
        /// The card that is wanted; else the current one, or the first.
        demand: Option<&'a str>,
        /// Whether not to ask if the client knows the card.
        force: bool,
        /// Whether only keys are listed.
        only_keys: bool,
    },
    /// `READKEY [--advanced] [--format=advanced|ssh] [--info] [--info-only] [--] keyref`
    ReadKey {
        /// The key.
        keyref: &'a str,
        /// Whether a line about the key comes first.
        info: bool,
        /// Whether nothing else comes.
        info_only: bool,
        /// The form of the public key.
        format: KeyFormat,
    },
    /// `READCERT id`
    ReadCert,
    /// `KEYINFO grip [--data]`
    KeyInfo {
        /// The key.
        grip: Keygrip,
        /// Whether the answer is data, not status lines.
        as_data: bool,
    },
    /// `KEYINFO --list[=sign|encr|auth] [--data]`
    ListKeys {
        /// What the keys are for.
        usage: KeyUsage,
        /// Whether the answer is data, not status lines.
        as_data: bool,
    },
    /// `SETDATA [--append] HEX`
    SetData {
        /// At least one byte.
        data: Bytes,
        /// Whether earlier data stay.
        append: bool,
    },
    /// `PKSIGN [--hash=NAME] keyref`
    PkSign {
        /// The key.
        keyref: Option<&'a str>,
        /// The hash algorithm as gpg names it.
        hash: Option<&'a str>,
    },
    /// `PKAUTH [--challenge-response] keyref`
    PkAuth {
        /// The key.
        keyref: Option<&'a str>,
        /// Whether it is no login of ssh.
        challenge_response: bool,
    },
    /// `PKDECRYPT keyref`
    PkDecrypt {
        /// The key.
        keyref: Option<&'a str>,
    },
    /// `GETATTR NAME [keyref]`
    GetAttr {
        /// The attribute.
        name: &'a str,
        /// A key whose card is asked; else the current card.
        keyref: Option<&'a str>,
    },
    /// `RANDOM n`
    Random {
        /// 1 to [`MAX_RANDOM`] bytes.
        len: usize,
    },
    /// `CHECKPIN id`
    CheckPin,
    /// `LOCK [--wait]`
    Lock {
        /// Whether to wait for the lock.
        wait: bool,
    },
    /// `UNLOCK`
    Unlock,
    /// `GETINFO what [arguments]`
    GetInfo(Info<'a>),
    /// `SWITCHCARD [--] [SN]`
    SwitchCard {
        /// The card; else the current one, or the first.
        serial: Option<&'a str>,
    },
    /// `SWITCHAPP [--] [app]`
    SwitchApp {
        /// The application; else the only one.
        application: Option<&'a str>,
    },
    /// `DEVINFO [--watch]`
    DevInfo {
        /// Whether to go on with each change.
        watch: bool,
    },
    /// `SETATTR`, `WRITEKEY`, `WRITECERT`, `GENKEY`, `PASSWD`, `APDU`: none is possible here.
    Administer,
    /// `DISCONNECT`
    Disconnect,
    /// `RESTART`, `RESET`: what comes next belongs to another client.
    Restart,
    /// `OPTION event-signal=NUMBER`: the signal that tells the client of changes; none if the number is no signal.
    EventSignal(Option<Signal>),
    /// `OPTION name[=value]`, any other. All are accepted.
    OtherOption,
    /// `NOP`, `CANCEL`, `CAN`, `END`, `QUIT`
    Nothing,
    /// `HELP`
    Help,
    /// `BYE`
    Bye,
    /// `KILLSCD`
    KillScd,
}

/// How READKEY writes a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    /// A canonical S-expression.
    Canonical,
    /// An S-expression for people.
    Advanced,
    /// A line of `authorized_keys`.
    Ssh,
    /// One that is not known: an error, if the key is shown at all.
    Unknown,
}

/// What the keys that KEYINFO lists are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUsage {
    /// Anything.
    Any,
    /// Signatures.
    Sign,
    /// Decryption.
    Encrypt,
    /// Logins: only ssh asks for these alone.
    Authenticate,
}

/// What GETINFO asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Info<'a> {
    /// `version`
    Version,
    /// `sealcard_version`
    SealcardVersion,
    /// `sealcard_replaced`: whether an upgrade has put another program in this one's place.
    SealcardReplaced,
    /// `pid`
    Pid,
    /// `socket_name`
    SocketName,
    /// `connections`
    Connections,
    /// `status`
    Status,
    /// `reader_list`
    ReaderList,
    /// `app_list`
    AppList,
    /// `deny_admin`
    DenyAdmin,
    /// `card_list`
    CardList,
    /// `active_apps`
    ActiveApps,
    /// `all_active_apps`
    AllActiveApps,
    /// `cmd_has_option COMMAND OPTION`: whether it has.
    CommandHasOption(bool),
    /// `manufacturer NUMBER`
    Manufacturer(u32),
    /// `apdu_strerror TEXT`
    ApduError(&'a str),
    /// `dump_state`
    DumpState,
}

/// The most random bytes that one command gives.
pub const MAX_RANDOM: usize = 4096;
