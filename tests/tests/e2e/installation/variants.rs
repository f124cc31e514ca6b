//! What the handbook's example does not choose: a certificate of an ACME authority, a passphrase, a port below 1024, a token,
//! a systemd credential, a second server on one database; and a restore on a new machine.

use anyhow::{Context, Result, ensure};
use sealcard_tests::Finished;

use super::{container::Container, packages};

/// Installs the packages, and makes what people at terminals have.
const INSTALL: &str = "
echo '127.0.0.1 localhost sign.example.org' >/etc/hosts
dpkg --install /mnt/sealcard_*.deb /mnt/sealcard-server_*.deb /mnt/sealcard-signer_*.deb >/dev/null
useradd --create-home --shell /bin/sh alice
echo correct-horse-admin >/root/admin.password
echo battery-staple-alice >/home/alice/password
chown alice /home/alice/password
";

/// Logs both users in with the one-time passwords that setup has printed, and has alice sign and verify.
const SIGN: &str = r#"
one_time() { sed -n "s/^  $1  *\([a-z2-7-]*\)  .*/\1/p" /root/setup.txt; }
one_time admin >/root/one-time
sealcard login "$url" --user admin --no-sync $trust --password-file /root/one-time --new-password-file /root/admin.password
one_time alice >/home/alice/one-time
chown alice /home/alice/one-time
alice() { runuser -u alice -- env -C /home/alice HOME=/home/alice "$@"; }
alice sealcard login "$url" --user alice --setup $trust --password-file one-time --new-password-file password
alice sh -euc '
    date >text
    gpg --batch --yes --local-user tags@example.org --output text.sig --detach-sign text
    gpg --batch --status-fd 1 --verify text.sig text | grep "GOODSIG"'
"#;

fn install() -> Result<Container> {
    let container = Container::boot_machine(&packages()?)?;
    container.run(INSTALL)?.success()?;
    Ok(container)
}

/// The server's certificate as a client sees it: its serial number.
const SERIAL: &str =
    "openssl s_client -connect sign.example.org:443 </dev/null 2>/dev/null | openssl x509 -noout -serial";

#[test]
#[ignore = "cargo xtask test makes the packages and runs it"]
fn a_certificate_of_an_acme_authority_is_renewed_and_a_passphrase_opens_the_keys() -> Result<()> {
    let container = install()?;
    container.run(PEBBLE)?.success()?;
    container
        .run(
            "echo 'a passphrase of the test' >/root/passphrase
            sealcard-server setup --name sign.example.org --listen '[::]:443' --seal-passphrase-file /root/passphrase \\
                --acme admin@example.org --acme-server https://localhost:14000/dir \\
                --key release/tags --user-id 'Tags <tags@example.org>' --user alice --non-interactive >/root/setup.txt",
        )?
        .success()?;
    let trust = "url=https://sign.example.org:443\ntrust='--ca-file /tmp/issuer.pem'\n";
    container.run("curl --silent --insecure https://localhost:15000/roots/0 >/tmp/issuer.pem")?.success()?;
    container.run(&format!("{trust}{SIGN}"))?.success()?;

    // certbot renews it, and the running server takes it up.
    let before = container.run(SERIAL)?.success()?.text();
    ensure!(before.starts_with("serial="), "{before}");
    container.run("certbot renew --force-renewal --no-random-sleep-on-renew >/root/renewal.txt 2>&1")?.success()?;
    let after = container.run(SERIAL)?.success()?.text();
    ensure!(after.starts_with("serial=") && after != before, "the server still shows {before}");

    // After a start somebody gives the passphrase.
    container.run("systemctl restart sealcard-server sealcard-signer@default.service")?.success()?;
    let state = "sealcard admin environment list | grep '^default' | grep -o 'locked\\|ready'";
    ensure!(wait_for(&container, state, "locked")?, "the environment is open without a passphrase");
    let unseal = "runuser -u sealcard-default -- sealcard-signer unseal --folder /var/lib/sealcard-signer/default \\
        --passphrase-file - </root/passphrase";
    container.run(unseal)?.success()?;
    ensure!(wait_for(&container, state, "ready")?, "the passphrase does not open it");
    Ok(())
}

/// An ACME authority for tests, with a certificate that this system trusts.
const PEBBLE: &str = r#"
mkdir /root/pebble && cd /root/pebble
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost 2>/dev/null
cp cert.pem /usr/local/share/ca-certificates/pebble.crt
update-ca-certificates >/dev/null
cat >config.json <<END
{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
  "certificate": "/root/pebble/cert.pem", "privateKey": "/root/pebble/key.pem", "httpPort": 80, "tlsPort": 5001,
  "externalAccountBindingRequired": false}}
END
systemd-run --quiet --unit=pebble --setenv=PEBBLE_VA_NOSLEEP=1 pebble -config /root/pebble/config.json
for _ in $(seq 100); do curl --silent https://localhost:14000/dir >/dev/null && break; sleep 0.1; done
curl --silent https://localhost:14000/dir | grep newOrder
"#;

#[test]
#[ignore = "cargo xtask test makes the packages and runs it"]
fn tokens_and_credentials_are_environments_of_their_own_users() -> Result<()> {
    let container = install()?;
    container.run(SETUP)?.success()?;
    container.run(&format!("{OWN}{SIGN}"))?.success()?;
    container.run(TOKEN)?.success()?;
    let ready = "sealcard admin environment list | grep -c ready || true";
    ensure!(wait_for(&container, ready, "4")?, "{}", container.run("sealcard admin environment list")?.text());
    let key =
        "sealcard admin key create release/hsm --environment hsm --algorithm nistp256 --user-id 'Hsm <hsm@example.org>'
        sealcard admin key create release/sealed --environment tests --user-id 'Sealed <sealed@example.org>'";
    container.run(key)?.success()?;
    let users = "ps -eo user:32,args | grep '[s]ealcard-signer listen' | cut -d' ' -f1 | sort | tr '\\n' ' '";
    let users = container.run(users)?.text();
    ensure!(users == "sealcard-default sealcard-hsm sealcard-log sealcard-tests ", "signers run as {users}");
    // A credential opens the keys after each start, and its recovery key is the one that was used.
    container.run("systemctl restart 'sealcard-signer@*.service' sealcard-server")?.success()?;
    ensure!(wait_for(&container, ready, "4")?, "{}", container.run("sealcard admin environment list")?.text());
    let same = "systemd-creds decrypt --name=sealcard-seal /etc/credstore.encrypted/sealcard-seal-tests - |
        cmp - /root/sealcard-tests.recovery";
    container.run(same)?.success()?;
    Ok(())
}

const SETUP: &str = "sealcard-server setup --name sign.example.org --key release/tags \\
    --user-id 'Tags <tags@example.org>' --user alice --non-interactive >/root/setup.txt\n";

/// Trust in the server's own authority, by the fingerprint that setup has printed.
const OWN: &str = "url=https://sign.example.org:8443
trust=\"--fingerprint $(tail -n 1 /root/setup.txt | tr -d ' ')\"\n";

const TOKEN: &str = r#"
mkdir -p /var/lib/hsm/tokens
cat >/var/lib/hsm/softhsm2.conf <<END
directories.tokendir = /var/lib/hsm/tokens
objectstore.backend = file
END
export SOFTHSM2_CONF=/var/lib/hsm/softhsm2.conf
softhsm2-util --init-token --free --label sealcard --so-pin 12345678 --pin 87654321 >/dev/null
echo 87654321 >/root/pin
cat >/root/hsm.toml <<END
module = "/usr/lib/softhsm/libsofthsm2.so"
token = { label = "sealcard" }
pin = { file = "pin" }
[sandbox]
read = ["/var/lib/hsm/softhsm2.conf"]
write = ["/var/lib/hsm/tokens"]
environment = { SOFTHSM2_CONF = "/var/lib/hsm/softhsm2.conf" }
END
sealcard-server environment add hsm --token-config /root/hsm.toml --pin-file /root/pin
chown -R sealcard-hsm /var/lib/hsm/tokens
test "$(stat --format=%U:%a /var/lib/sealcard-signer/hsm/pin)" = sealcard-hsm:600
sealcard-server environment add tests --seal systemd-credential
test "$(stat --format=%U:%a /root/sealcard-tests.recovery)" = root:600
# A name that is taken, and one that no user can have.
if sealcard-server environment add tests; then exit 1; fi
if sealcard-server environment add Tests; then exit 1; fi
test ! -e /var/lib/sealcard-signer/Tests
"#;

#[test]
#[ignore = "cargo xtask test makes the packages and runs it"]
fn a_backup_is_restored_on_a_new_machine_with_the_signers_users() -> Result<()> {
    let container = install()?;
    container.run(SETUP)?.success()?;
    container.run(&format!("{OWN}{SIGN}"))?.success()?;
    container.run(MOVE_AWAY)?.success()?;
    container.run(RESTORE)?.success()?;
    let ready = "sealcard admin environment list | grep -c ready || true";
    ensure!(wait_for(&container, ready, "2")?, "{}", container.run("sealcard admin environment list")?.text());
    let verified = container.run("sealcard admin record verify")?.success()?;
    ensure!(!verified.text().contains("finding"), "{}", verified.text());
    let sign = "runuser -u alice -- env -C /home/alice HOME=/home/alice gpg --batch --yes --local-user tags@example.org \\
        --output text.sig --detach-sign text";
    container.run(sign)?.success()?;
    // A setup that fails leaves nothing behind, and never touches a server that exists.
    let again = container.run("sealcard-server setup --name other.example.org --non-interactive")?;
    ensure!(!again.status.success() && again.stderr.contains("already has a server"), "{}", again.description());
    // A server that somebody controls can't give itself a signer's keys by a setting.
    container.run(TRIAL)?.success()?;
    // Nor have root remove a signer: its keys stay, whatever is missing beside them.
    for lost in [
        "mv /var/lib/sealcard /root/lost && mkdir -m 700 /var/lib/sealcard && chown sealcard: /var/lib/sealcard",
        "touch /var/lib/sealcard/init-unfinished",
    ] {
        container.run(lost)?.success()?;
        let refused = container.run("sealcard-server setup --name other.example.org --non-interactive")?;
        ensure!(!refused.status.success() && refused.stderr.contains("has files already"), "{}", refused.description());
        container.run("cmp /root/master.key /var/lib/sealcard-signer/default/master.key")?.success()?;
    }
    Ok(())
}

const TRIAL: &str = "
sed -i 's/^trial = false/trial = true/' /var/lib/sealcard/server.toml
grep '^trial = true' /var/lib/sealcard/server.toml
systemctl restart sealcard-server
curl --silent --insecure https://sign.example.org:8443/v1/server | grep '\"trial\":false'
grep '^Seccomp:.2' /proc/$(systemctl show --property MainPID --value sealcard-server)/status
";

#[test]
#[ignore = "cargo xtask test makes the packages and runs it"]
fn a_setup_that_fails_or_is_killed_leaves_nothing_in_the_way_of_the_next() -> Result<()> {
    let container = install()?;
    container.run(FAIL)?.success()?;
    container.run(SETUP)?.success()?;
    container.run(&format!("{OWN}{SIGN}"))?.success()?;
    Ok(())
}

/// A setup whose database can't be reached, and one that is killed after it has made its signer.
const FAIL: &str = r#"
if sealcard-server setup --name sign.example.org --seal systemd-credential --non-interactive \
    --database-url 'postgres://sealcard@127.0.0.1:1/sealcard'; then exit 1; fi
nothing_is_left() {
    test -z "$(find /var/lib/sealcard /var/lib/sealcard-signer -mindepth 1)"
    test -z "$(find /etc/systemd/system -name '*sealcard*')"
    test ! -e /etc/credstore.encrypted/sealcard-seal-default
    test ! -e /etc/credstore.encrypted/sealcard-seal-log
    test ! -e /root/sealcard-default.recovery
    test ! -e /root/sealcard-log.recovery
}
nothing_is_left
# A database that accepts and never answers keeps setup waiting.
python3 -c 'import socket, time; s = socket.create_server(("127.0.0.1", 5999)); time.sleep(600)' &
sealcard-server setup --name sign.example.org --seal systemd-credential --non-interactive \
    --database-url 'postgres://sealcard@127.0.0.1:5999/sealcard' &
setup=$!
for _ in $(seq 300); do test -e /var/lib/sealcard/server.toml && break; sleep 0.1; done
test -e /root/sealcard-default.recovery
test -e /root/sealcard-log.recovery
kill -KILL $setup
kill $(jobs -p) 2>/dev/null || true
test -e /var/lib/sealcard-signer/.making-default
test -e /var/lib/sealcard-signer/.making-log
"#;

const MOVE_AWAY: &str = "
sealcard-server backup /root/backup >/root/backup.txt
grep master.key /root/backup.txt
cp /var/lib/sealcard-signer/default/master.key /root/master.key
cp /var/lib/sealcard-signer/log/master.key /root/log-master.key
systemctl disable --now sealcard-server sealcard-signer@default.socket sealcard-signer@log.socket
systemctl stop sealcard-signer@default.service sealcard-signer@log.service
rm -r /var/lib/sealcard /var/lib/sealcard-signer
userdel sealcard-default
userdel sealcard-log
systemd-tmpfiles --create
";

const RESTORE: &str = "
sealcard-server restore /root/backup
install -m 600 -o sealcard-default /root/master.key /var/lib/sealcard-signer/default/
install -m 600 -o sealcard-log /root/log-master.key /var/lib/sealcard-signer/log/master.key
test \"$(stat --format=%U:%a /var/lib/sealcard-signer/default)\" = sealcard-default:700
test \"$(stat --format=%U:%a /var/lib/sealcard/sealcard.db)\" = sealcard:600
systemctl enable --now sealcard-signer@default.socket sealcard-signer@log.socket
systemctl enable --now sealcard-server
";

/// Whether a script prints this line within some seconds.
fn wait_for(container: &Container, script: &str, line: &str) -> Result<bool> {
    let found = || -> Result<Option<Finished>> {
        let finished = container.run(script)?;
        Ok((finished.text().trim() == line).then_some(finished))
    };
    match sealcard_tests::wait_until(line, super::PATIENCE, found) {
        Ok(_) => Ok(true),
        Err(error) => {
            let log = container.run("journalctl --no-pager --unit 'sealcard-*' | tail -n 40").context("no log")?;
            Err(error.context(log.text()))
        }
    }
}
