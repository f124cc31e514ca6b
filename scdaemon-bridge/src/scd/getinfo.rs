//! GETINFO: facts about the daemon.

use super::{Code, Info, Session};

/// What `GETINFO version` answers. gpg warns if its scdaemon is older than itself, so this is newer than any gpg that
/// is supported; the program's own version is `GETINFO sealcard_version`.
const VERSION: &str = "2.5.99";

impl Session {
    /// GETINFO
    pub(super) fn getinfo(&mut self, what: Info<'_>) -> Result<(), Code> {
        let registry = self.daemon.registry();
        match what {
            Info::Version => self.reply.data(VERSION.as_bytes()),
            Info::SealcardVersion => self.reply.data(env!("CARGO_PKG_VERSION").as_bytes()),
            // OK if an upgrade has put another program in this one's place.
            Info::SealcardReplaced => return if self.daemon.is_replaced() { Ok(()) } else { Err(Code::FALSE) },
            Info::Pid => self.reply.data(std::process::id().to_string().as_bytes()),
            Info::SocketName => {
                use std::os::unix::ffi::OsStrExt as _;
                let path = self.daemon.socket().ok_or(Code::NOT_FOUND)?;
                self.reply.data(path.as_os_str().as_bytes());
            }
            Info::Connections => self.reply.data(self.daemon.sessions().to_string().as_bytes()),
            Info::Status => self.reply.data(if registry.first().is_some() { b"u" } else { b"r" }),
            Info::ReaderList => self.reply.data(b"Sealcard\n"),
            Info::AppList => self.reply.data(b"openpgp:\n"),
            // An OK means that administration is denied, and it is: nothing here can be administered.
            Info::DenyAdmin => {}
            Info::CardList => {
                // Nothing may stand behind the number: gpg-agent 2.2 demands hexadecimal digits to the end of the line.
                for card in registry.listed() {
                    self.reply.status("SERIALNO", card.serial());
                }
            }
            Info::ActiveApps => {
                let card = self.card()?;
                self.reply.status("SERIALNO", &format!("{} openpgp", card.serial()));
            }
            Info::AllActiveApps => {
                for card in registry.listed() {
                    self.reply.status("SERIALNO", &format!("{} openpgp", card.serial()));
                }
            }
            Info::CommandHasOption(has) => return if has { Ok(()) } else { Err(Code::FALSE) },
            Info::Manufacturer(number) => {
                let name: &[u8] = if (0xFF00..0xFFFF).contains(&number) { b"Sealcard" } else { b"" };
                self.reply.data(name);
            }
            Info::ApduError(text) => self.reply.data(text.as_bytes()),
            Info::DumpState => {}
        }
        Ok(())
    }
}
