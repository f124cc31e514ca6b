//! What somebody can read who controls the server: everything is tried, as its user.

use anyhow::{Result, ensure};

use super::container::Container;

/// Prints each path that the server's user can read and that is a signer's, or has one of a signer's secrets in it. The
/// service's own confinement, which keeps it from more, is not used here.
const TRY: &str = r#"
cd /
signers=/var/lib/sealcard-signer
test "$(stat --format=%U $signers/default)" = sealcard-default
test "$(stat --format=%U $signers/log)" = sealcard-log
for file in master.key keeper.key seal.json; do
    for signer in default log; do test -s "$signers/$signer/$file"; done
done
# The log's key may not be made yet.
test -s "$signers/default/journal.jsonl"
as_server() { setpriv --reuid=sealcard --regid=sealcard --clear-groups -- "$@"; }
# The check can fail: as root it finds what it looks for.
root_finds=$(find $signers -type f -exec sh -c 'head -c 1 "$1" >/dev/null 2>&1 && echo "$1"' sh {} \; | wc -l)
test "$root_finds" -ge 7
# Every path of the system, by its name.
find / -xdev ! -path '/proc/*' -print0 >/tmp/paths
find $signers -print0 >>/tmp/paths
chmod 644 /tmp/paths
as_server xargs --null --max-args=2000 --arg-file=/tmp/paths sh -c '
    for path; do
        if [ -f "$path" ] && head -c 1 "$path" >/dev/null 2>&1; then echo "$path"; fi
    done' sh >/tmp/readable 2>/dev/null || true
grep --count . /tmp/readable
grep --quiet '^/var/lib/sealcard/server.toml$' /tmp/readable
if grep "^$signers/" /tmp/readable; then echo 'FOUND a path of a signer'; fi
# The memory, environment and open files of the signers.
for process in $(pgrep --uid sealcard-default,sealcard-log); do
    for name in mem environ maps fd cwd root fdinfo; do
        if as_server sh -c 'head -c 1 "$1" >/dev/null 2>&1 || ls "$1"/ >/dev/null 2>&1' sh "/proc/$process/$name"; then
            echo "FOUND /proc/$process/$name"
        fi
    done
done
test "$(pgrep --uid sealcard-default | wc -l)" -ge 3
# The secrets themselves, in all that can be read: as bytes, and as hexadecimal and base64 text.
key=$(od -An -tx1 -v $signers/default/master.key | tr -d ' \n')
keeper=$(od -An -tx1 -v $signers/default/keeper.key | tr -d ' \n')
journal=$(tail -n 1 $signers/default/journal.jsonl | sed 's/.*"hash":"\([0-9a-f]*\)".*/\1/')
printf '%s\n%s\n' "$key" "$keeper" >/tmp/secrets
base64 $signers/default/master.key >>/tmp/secrets
base64 $signers/default/keeper.key >>/tmp/secrets
base64 $signers/log/master.key >>/tmp/secrets
tail -n 1 $signers/default/journal.jsonl >>/tmp/secrets
test "$(wc -l </tmp/secrets)" -eq 6
xargs --delimiter='\n' --arg-file=/tmp/readable grep --files-with-matches --fixed-strings --file=/tmp/secrets -- 2>/dev/null |
    sed 's/^/FOUND a secret in /' || true
# By parts of eight bytes without a line break, because grep reads lines.
pattern=
for part in $(printf '%s%s' "$key" "$keeper" | sed 's/.\{16\}/& /g'); do
    case " $(printf '%s' "$part" | sed 's/../& /g')" in *' 0a '*) continue ;; esac
    pattern="$pattern${pattern:+|}$(printf '%s' "$part" | sed 's/../\\x&/g')"
done
test "${#pattern}" -gt 64
xargs --delimiter='\n' --arg-file=/tmp/readable env LC_ALL=C grep --files-with-matches --text --perl-regexp "$pattern" -- 2>/dev/null |
    sed 's/^/FOUND a key in /' || true
rm /tmp/secrets
echo "journal $journal"
"#;

const PLANT: &str = "
cat /etc/hostname /var/lib/sealcard-signer/default/master.key >/var/tmp/key
tail -n 1 /var/lib/sealcard-signer/default/journal.jsonl >/var/tmp/line
chmod 644 /var/tmp/key /var/tmp/line
";

/// Tries every path of the system, and looks for the signers' secrets in all that can be read.
pub(super) fn expect_none_readable(container: &Container) -> Result<()> {
    let finished = container.run(TRY)?.success()?;
    let text = finished.text();
    let readable: usize = text.lines().next().unwrap_or_default().trim().parse()?;
    ensure!(readable > 1000, "only {readable} paths were readable: the check has not looked");
    ensure!(!text.contains("FOUND"), "the server's user reads what it must not:\n{text}");
    // The search can find something: a key and a line of the journal where they must not be.
    container.run(PLANT)?.success()?;
    let text = container.run(TRY)?.success()?.text();
    for planted in ["FOUND a key in /var/tmp/key", "FOUND a secret in /var/tmp/line"] {
        ensure!(text.contains(planted), "the search overlooks what was planted for it:\n{text}");
    }
    container.run("rm /var/tmp/key /var/tmp/line")?.success()?;
    Ok(())
}
