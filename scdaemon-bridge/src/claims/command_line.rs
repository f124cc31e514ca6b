//! A command line as text.

use std::borrow::Cow;

use sealcard_api::{context::MAX_PROCESS_TEXT, text};

/// The command line of these arguments, each with a zero behind it: the program's name without its folder, then the
/// others. One that is empty or has a space in it is in single quotes. What is not plain text is escaped, and what is
/// too long is cut. The value of an option that takes a secret is `…`. None if there are none.
#[must_use]
pub fn command_line(arguments: &[u8]) -> Option<String> {
    let arguments = arguments.strip_suffix(b"\0").unwrap_or(arguments);
    let mut arguments = arguments.split(|byte| *byte == 0);
    let program = text_of(arguments.next().filter(|program| !program.is_empty())?);
    let mut line = quoted(&name(&program));
    // A program that names itself otherwise, such as `sshd: alice@pts/0`, leaves zeros where its arguments were.
    let renamed = program.contains(' ') && !program.starts_with(['/', '.']);
    let mut is_secret = false;
    for argument in arguments.filter(|argument| !(renamed && argument.is_empty())) {
        if line.chars().count() > MAX_PROCESS_TEXT {
            break;
        }
        line.push(' ');
        let argument = text_of(argument);
        match argument.split_once('=') {
            _ if is_secret => line.push('…'),
            Some((option, _)) if SECRETS.contains(&option) => {
                line.push_str(option);
                line.push_str("=…");
            }
            _ => line.push_str(&quoted(&argument)),
        }
        is_secret = SECRETS.contains(&argument.as_str());
    }
    Some(cut(&line, MAX_PROCESS_TEXT))
}

/// Options of gpg and others behind which a secret is.
const SECRETS: [&str; 5] = ["--passphrase", "--password", "--pin", "--secret", "--token"];

/// The first so many characters; if that are not all, the last is `…`.
pub(super) fn cut(line: &str, limit: usize) -> String {
    if line.chars().count() <= limit {
        return line.to_owned();
    }
    line.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

fn text_of(bytes: &[u8]) -> String {
    // More than can be kept need not be looked at.
    let bytes = bytes.get(..4 * (MAX_PROCESS_TEXT + 1)).unwrap_or(bytes);
    text::cleaned(&String::from_utf8_lossy(bytes)).into_owned()
}

/// Without the folder. A space before the first slash is in no program's path.
fn name(program: &str) -> Cow<'_, str> {
    let (before, _) = program.split_once('/').unwrap_or_default();
    let name = program.rsplit('/').next().filter(|name| !name.is_empty() && !before.contains(' '));
    name.unwrap_or(program).into()
}

fn quoted(argument: &str) -> String {
    if argument.is_empty() || argument.contains(' ') { format!("'{argument}'") } else { argument.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use sealcard_api::context::{Process, UseContext};

    use super::*;

    #[test]
    fn command_lines_read_as_they_were_typed() {
        for (arguments, line) in [
            ("gpg\0-bsau\0tags\0", "gpg -bsau tags"),
            ("/usr/bin/gpg\0--status-fd=2\0", "gpg --status-fd=2"),
            ("git\0tag\0-s\0-m\0Release 1.0\0v1.0\0", "git tag -s -m 'Release 1.0' v1.0"),
            ("git\0commit\0-m\0\0", "git commit -m ''"),
            ("/opt/My Tools/gpg\0-s\0", "gpg -s"),
            ("-bash\0", "-bash"),
            ("sshd: alice@pts/0\0\0\0", "'sshd: alice@pts/0'"),
            ("gpg\0a\nb\u{202e}\0", "gpg a?b\\u{202e}"),
            ("gpg\0--passphrase\0hunter2\0-s\0", "gpg --passphrase … -s"),
            ("gpg\0--passphrase=hunter2\0--passphrase-fd=0\0", "gpg --passphrase=… --passphrase-fd=0"),
            ("gpg", "gpg"),
            ("/\0", "/"),
        ] {
            assert_eq!(command_line(arguments.as_bytes()).as_deref(), Some(line));
        }
        assert_eq!(command_line(b""), None);
        assert_eq!(command_line(b"\0\0"), None);
        assert_eq!(command_line(b"gpg\0\xff\0").as_deref(), Some("gpg \u{fffd}"));
    }

    #[test]
    fn long_command_line_is_cut_visibly() {
        let line = command_line(&[b"gpg\0".as_slice(), &"ä\0".repeat(5000).into_bytes()].concat()).unwrap();
        assert_eq!(line.chars().count(), MAX_PROCESS_TEXT);
        assert!(line.starts_with("gpg ä ä") && line.ends_with('…'));
    }

    proptest! {
        #[test]
        fn whatever_the_arguments_are_the_claim_is_valid(
            arguments in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
            long in any::<bool>(),
        ) {
            let mut bytes = arguments.join(&0);
            if long {
                bytes = bytes.repeat(300);
            }
            let command = command_line(&bytes);
            let process = Process { command, ..Process::default() };
            prop_assert_eq!(UseContext { processes: vec![process], ..UseContext::default() }.check(), Ok(()));
        }
    }
}
