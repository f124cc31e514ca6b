//! Editing `gpg-agent.conf` so that every byte of the person's own can be given back.

use std::path::{Path, PathBuf};

use crate::config::{
    ConfigError,
    block::{self, has_block, lines, replace_keeping_mode, without_block},
    files,
};

/// The file's name in the GnuPG home.
pub const FILE_NAME: &str = "gpg-agent.conf";

/// The name of the copy of the person's file.
pub const BACKUP_NAME: &str = "gpg-agent.conf.sealcard-backup";

/// Options that would contradict ours.
const REPLACED: [&str; 2] = ["scdaemon-program", "disable-scdaemon"];

/// The file's content with our block, in place of an earlier one.
#[must_use]
pub fn with_block(content: &[u8], program: &str, expand_secmem: bool) -> Vec<u8> {
    let mut own = format!("scdaemon-program {program}\n");
    // Many gpg at once exhaust the agent's locked memory otherwise ("Cannot allocate memory").
    if expand_secmem && !lines(&without_block(content)).any(|line| option(line) == Some("auto-expand-secmem")) {
        own.push_str("auto-expand-secmem\n");
    }
    block::with_block(content, &own, |line| option(line).is_some_and(|name| REPLACED.contains(&name)))
}

/// The program that gpg-agent would start as scdaemon; `None` for GnuPG's own. The last such line counts.
#[must_use]
pub fn scdaemon_program(content: &[u8]) -> Option<String> {
    lines(content).filter(|line| option(line) == Some("scdaemon-program")).last().and_then(|line| {
        let (_, value) = std::str::from_utf8(line).ok()?.trim().split_once(char::is_whitespace)?;
        Some(value.trim().trim_matches('"').to_owned())
    })
}

/// The file names of the sockets that the file gives gpg-agent besides its own.
#[must_use]
pub fn socket_names(content: &[u8]) -> Vec<String> {
    let named = lines(content).filter(|line| option(line).is_some_and(|name| SOCKETS.contains(&name)));
    let ends = |c: char| c.is_whitespace() || c == '=';
    let values = named.filter_map(|line| std::str::from_utf8(line).ok()?.trim().split_once(ends));
    let names = values.filter_map(|(_, value)| value.trim_matches(ends).trim_matches('"').rsplit('/').next());
    names.filter(|name| !name.is_empty() && *name != "none").map(str::to_owned).collect()
}

/// Options that give a socket another place.
const SOCKETS: [&str; 2] = ["extra-socket", "browser-socket"];

/// What [`install`] or [`remove`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it was so already, by our block or by the person's own line.
    None,
    /// The file was written. Another scdaemon than GnuPG's own was named before.
    Written {
        /// That other one.
        replaced: Option<String>,
    },
    /// The file is as it was before us.
    Restored,
}

/// What [`install`] will do, and can't be stopped by the file's being another's.
///
/// # Errors
///
/// When a file can't be read, the program's path can't stand in the file, or the file is not ours to change; then the
/// error names the lines to add.
pub fn plan(gnupg_home: &Path, program: &Path, expand_secmem: bool) -> Result<Option<Vec<u8>>, AgentConfError> {
    let path = gnupg_home.join(FILE_NAME);
    let program = writable_path(program).map_err(|reason| ConfigError::invalid(program, reason))?;
    let before = files::read_foreign(&path)?.unwrap_or_default();
    let after = with_block(&before, program, expand_secmem);
    let has_own_line = !has_block(&before)
        && scdaemon_program(&before).as_deref() == Some(program)
        && !lines(&before).any(|line| option(line) == Some("disable-scdaemon"));
    if before == after || has_own_line {
        return Ok(None);
    }
    match why_not_ours(&path) {
        None => Ok(Some(after)),
        Some(reason) => Err(AgentConfError::NotOurs { path, reason, line: format!("scdaemon-program {program}") }),
    }
}

/// Why the file must not be changed by us. A link usually leads into a collection of configuration files, which another
/// program writes.
fn why_not_ours(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let facts = std::fs::symlink_metadata(path);
    if facts.as_ref().is_ok_and(std::fs::Metadata::is_symlink) {
        let target = std::fs::read_link(path).unwrap_or_default();
        return Some(format!("is a link to {}", target.display()));
    }
    if facts.is_ok_and(|facts| facts.permissions().mode() & 0o200 == 0) {
        return Some("is read-only".to_owned());
    }
    let folder = path.parent()?;
    nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK)
        .err()
        .map(|errno| format!("can't be replaced, since its folder can't be written to ({})", errno.desc()))
}

/// Why the file could not be prepared. Retrying helps after a person acted.
#[derive(Debug, thiserror::Error)]
pub enum AgentConfError {
    /// The file can't be read or written.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// The file is for the person to change.
    #[error(
        "{} {reason}, so it was not changed. Add this line to it, run `gpgconf --kill gpg-agent`, and run this command \
         again:\n\n  {line}\n", path.display()
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What is special about it.
        reason: String,
        /// The line to add.
        line: String,
    },
}

/// Writes our block into the file of this GnuPG home. The person's own file is kept as [`BACKUP_NAME`]. Nothing is
/// changed if that fails.
///
/// # Errors
///
/// As [`plan`], and when a file can't be written.
pub fn install(gnupg_home: &Path, program: &Path, expand_secmem: bool) -> Result<Change, AgentConfError> {
    let path = gnupg_home.join(FILE_NAME);
    let Some(after) = plan(gnupg_home, program, expand_secmem)? else { return Ok(Change::None) };
    let old = files::read_foreign(&path)?;
    let before = old.as_deref().unwrap_or_default();
    let replaced = scdaemon_program(&without_block(before));
    let first = !has_block(before);
    if first {
        match &old {
            Some(content) => files::write_private(&backup(gnupg_home), content)?,
            // A backup that has nothing to do with the present state would be given back by mistake.
            None => drop(files::remove(&backup(gnupg_home))?),
        }
    }
    if let Err(error) = replace_keeping_mode(&path, &after) {
        if first {
            let _ = files::remove(&backup(gnupg_home));
        }
        return Err(error.into());
    }
    Ok(Change::Written { replaced })
}

/// Takes our block out of the file of this GnuPG home. A file that was not there before us is removed.
///
/// # Errors
///
/// When a file can't be read or written.
pub fn remove(gnupg_home: &Path) -> Result<Change, ConfigError> {
    let path = gnupg_home.join(FILE_NAME);
    let Some(content) = files::read_foreign(&path)? else { return Ok(Change::None) };
    if !has_block(&content) {
        return Ok(Change::None);
    }
    let own = without_block(&content);
    let kept = files::read_foreign(&backup(gnupg_home))?;
    if own.is_empty() && kept.is_none() {
        files::remove(&path)?;
    } else {
        replace_keeping_mode(&path, &own)?;
    }
    // A backup that differs holds something that the person changed since: it is theirs to remove.
    if kept.is_some_and(|kept| kept == own) {
        files::remove(&backup(gnupg_home))?;
    }
    Ok(Change::Restored)
}

fn backup(gnupg_home: &Path) -> PathBuf {
    gnupg_home.join(BACKUP_NAME)
}

/// gpg-agent takes the rest of the line, without blanks at its ends, and removes quotes around it.
fn writable_path(program: &Path) -> Result<&str, &'static str> {
    let text = program.to_str().ok_or("this path is not UTF-8, so it can't stand in gpg-agent.conf")?;
    if !program.is_absolute() {
        return Err("gpg-agent wants an absolute path");
    }
    if text.contains(['\n', '\r', '"']) || text.trim() != text {
        return Err("this path can't stand in gpg-agent.conf");
    }
    Ok(text)
}

/// The option that a line of one of GnuPG's files sets. GnuPG allows dashes in front of it.
pub(crate) fn option(line: &[u8]) -> Option<&str> {
    let line = line.trim_ascii_start();
    // GnuPG goes by isspace(3), to which vertical tabs belong too.
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0x0B | b'=');
    let end = line.iter().position(ends).unwrap_or(line.len());
    let name = std::str::from_utf8(line.get(..end)?).ok()?.trim_start_matches('-');
    (!name.is_empty() && !name.starts_with('#')).then_some(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROGRAM: &str = "/usr/libexec/sealcard-scdaemon";

    #[test]
    fn a_foreign_scdaemon_is_set_aside_and_comes_back() {
        let own = b"default-cache-ttl 60\n\
            scdaemon-program /usr/bin/gnupg-pkcs11-scd\n\tdisable-scdaemon\npinentry-program /p";
        let edited = with_block(own, PROGRAM, true);
        assert_eq!(scdaemon_program(&edited).as_deref(), Some(PROGRAM));
        let text = String::from_utf8(edited.clone()).unwrap();
        assert!(text.contains("\n# sealcard: was: scdaemon-program /usr/bin/gnupg-pkcs11-scd\n"), "{text}");
        assert!(text.contains("\n# sealcard: was: \tdisable-scdaemon\n") && text.contains("\nauto-expand-secmem\n"));
        assert_eq!(without_block(&edited), own);
    }

    #[test]
    fn sockets_of_other_names_are_found() {
        let content = b"extra-socket /run/user/1/S.forwarded\n# extra-socket /x\n\
            browser-socket \"~/S.browser\"\nextra-socket none\nssh-fingerprint-digest x\nbrowser-socket = S.b\n";
        assert_eq!(socket_names(content), ["S.forwarded", "S.browser", "S.b"]);
        assert_eq!(socket_names(b"extra-socket\n"), Vec::<String>::new());
    }

    #[test]
    fn installing_and_removing_in_a_home_leaves_every_file_as_it_was() {
        for own in [None, Some(&b""[..]), Some(b"scdaemon-program /x\n"), Some(b"no-newline")] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join(FILE_NAME);
            if let Some(own) = own {
                std::fs::write(&path, own).unwrap();
            }
            let program = Path::new(PROGRAM);
            assert!(matches!(install(home.path(), program, true).unwrap(), Change::Written { .. }));
            assert_eq!(install(home.path(), program, true).unwrap(), Change::None);
            assert!(matches!(install(home.path(), Path::new("/other"), false).unwrap(), Change::Written { .. }));
            assert_eq!(files::read_foreign(&home.path().join(BACKUP_NAME)).unwrap().as_deref(), own);
            assert_eq!(remove(home.path()).unwrap(), Change::Restored);
            assert_eq!(remove(home.path()).unwrap(), Change::None);
            assert_eq!(files::read_foreign(&path).unwrap().as_deref(), own);
            assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), usize::from(own.is_some()));
        }
    }

    #[test]
    fn what_the_person_changed_meanwhile_stays_and_the_backup_too() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE_NAME);
        std::fs::write(&path, "one\n").unwrap();
        install(home.path(), Path::new(PROGRAM), true).unwrap();
        let mut edited = std::fs::read(&path).unwrap();
        edited.extend_from_slice(b"two\n");
        std::fs::write(&path, edited).unwrap();
        remove(home.path()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        assert_eq!(std::fs::read(home.path().join(BACKUP_NAME)).unwrap(), b"one\n");
    }

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_link_and_a_read_only_file_stay_as_they_are() {
        use std::os::unix::fs::PermissionsExt as _;
        let (link, read_only) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let real = link.path().join("dotfiles.conf");
        std::fs::write(&real, "one\n").unwrap();
        std::os::unix::fs::symlink(&real, link.path().join(FILE_NAME)).unwrap();
        std::fs::write(read_only.path().join(FILE_NAME), "one\n").unwrap();
        let mode = std::fs::Permissions::from_mode(0o444);
        std::fs::set_permissions(read_only.path().join(FILE_NAME), mode).unwrap();
        for home in [link.path(), read_only.path()] {
            let before = names(home);
            let error = install(home, Path::new(PROGRAM), true).unwrap_err().to_string();
            assert!(error.contains(&format!("\n  scdaemon-program {PROGRAM}\n")), "{error}");
            assert_eq!(std::fs::read(home.join(FILE_NAME)).unwrap(), b"one\n");
            assert_eq!(names(home), before);
        }
    }

    #[test]
    fn a_line_of_the_persons_own_is_enough() {
        let home = tempfile::tempdir().unwrap();
        let real = home.path().join("dotfiles.conf");
        let content = format!("# mine\nscdaemon-program {PROGRAM}\n");
        std::fs::write(&real, &content).unwrap();
        std::os::unix::fs::symlink(&real, home.path().join(FILE_NAME)).unwrap();
        let before = names(home.path());
        assert_eq!(install(home.path(), Path::new(PROGRAM), true).unwrap(), Change::None);
        assert_eq!(remove(home.path()).unwrap(), Change::None);
        assert_eq!(std::fs::read(&real).unwrap(), content.as_bytes());
        assert_eq!(names(home.path()), before);
    }

    #[test]
    fn paths_that_gpg_agent_would_misread_are_refused() {
        let home = tempfile::tempdir().unwrap();
        for wrong in ["relative", "/with\nnewline", "/with\"quote", "/blank "] {
            assert!(install(home.path(), Path::new(wrong), true).is_err(), "{wrong:?}");
        }
        assert!(!home.path().join(FILE_NAME).exists());
    }

    proptest! {
        #[test]
        fn removing_gives_back_every_byte(content: Vec<u8>, expand: bool) {
            prop_assert_eq!(without_block(&with_block(&content, PROGRAM, expand)), without_block(&content));
        }

        #[test]
        fn removing_gives_back_every_line(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just("scdaemon-program /x"), Just("# sealcard: was: a"), Just("# sealcard: end"), Just(""),
                    Just("disable-scdaemon"), Just("--scdaemon-program=/y"), Just("auto-expand-secmem"), Just("\r"),
                    Just("# sealcard: anything"), Just("default-cache-ttl 1"),
                ],
                0..12,
            ),
            newline: bool,
            expand: bool,
        ) {
            let mut own = lines.join("\n").into_bytes();
            if newline {
                own.push(b'\n');
            }
            let edited = with_block(&own, PROGRAM, expand);
            prop_assert_eq!(with_block(&edited, PROGRAM, expand), edited.clone());
            prop_assert_eq!(scdaemon_program(&edited).unwrap(), PROGRAM);
            prop_assert_eq!(without_block(&edited), own);
        }
    }
}
