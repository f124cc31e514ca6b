cd /mnt

# Prints owner, group and mode of a path.
state() {
    stat --format=%U:%G:%a "$1"
}

programs_run() {
    for program in sealcard sealcard-scdaemon sealcard-server sealcard-signer sealcard-audit; do
        test "$(command -v $program)" = /usr/bin/$program
        $program --version
    done
    test -s /usr/share/man/man1/sealcard-login.1.gz
    test -s /usr/share/man/man5/sealcard-server.toml.5.gz
}

# Only the auditor's program is there.
auditor_is_alone() {
    sealcard-audit --version
    test -s /usr/share/man/man1/sealcard-audit-verify.1.gz
    test "$(find /usr/bin -name '*sealcard*')" = /usr/bin/sealcard-audit
}

# The folders are there and empty, and nothing was enabled.
nothing_is_set_up() {
    test "$(state /var/lib/sealcard)" = sealcard:sealcard:700
    test "$(state /var/lib/sealcard-signer)" = root:root:711
    test -z "$(find /var/lib/sealcard /var/lib/sealcard-signer -mindepth 1)"
    test -z "$(find /etc/systemd -name 'sealcard*')"
}

units_are_well_formed() {
    cp '/usr/lib/systemd/system/sealcard-signer@.service' /tmp/sealcard-signer@release.service
    cp '/usr/lib/systemd/system/sealcard-signer@.socket' /tmp/sealcard-signer@release.socket
    systemd-analyze verify --man=no sealcard-server.service \
        /tmp/sealcard-signer@release.service /tmp/sealcard-signer@release.socket 2>/tmp/verified
    cat /tmp/verified
    test ! -s /tmp/verified
    # In tenths: 0 is best, 10 is a service that may do everything.
    systemd-analyze security --offline=yes --no-pager --threshold=12 sealcard-server.service
    systemd-analyze security --offline=yes --no-pager --threshold=3 /tmp/sealcard-signer@release.service
}

set_up() {
    echo 'a password for this test' >/tmp/password
    chown sealcard /tmp/password
    chmod 600 /tmp/password
    # Without systemd as the first process no signer can be installed; the handbook's installation is a test of its own.
    runuser -u sealcard -- sealcard-server init --trial --name localhost --admin-password-file /tmp/password
    runuser -u sealcard -- sealcard-server config check
    echo 'u sealcard-release -' | systemd-sysusers -
    install -d -m 700 -o sealcard-release -g sealcard-release /var/lib/sealcard-signer/release
    runuser -u sealcard-release -- sealcard-signer init --folder /var/lib/sealcard-signer/release --seal key-file
    # As `systemctl enable` does it.
    mkdir -p /etc/systemd/system/multi-user.target.wants /etc/systemd/system/sockets.target.wants
    ln -s /usr/lib/systemd/system/sealcard-server.service /etc/systemd/system/multi-user.target.wants/
    ln -s '/usr/lib/systemd/system/sealcard-signer@.socket' \
        /etc/systemd/system/sockets.target.wants/sealcard-signer@release.socket
}

# Prints a line for each file of the server and the signers: mode, owner and digest.
data() {
    find /var/lib/sealcard /var/lib/sealcard-signer -printf '%p %M %U:%G\n' | sort
    find /var/lib/sealcard /var/lib/sealcard-signer -type f -exec sha256sum {} + | sort
}

data_is_unchanged() {
    data >/tmp/now
    cmp /tmp/before /tmp/now
    test "$(wc -l </tmp/now)" -gt 10
}

no_program_is_left() {
    test -z "$(find /usr/bin /usr/lib/systemd /usr/lib/sysusers.d /usr/lib/tmpfiles.d /usr/share -name '*sealcard*')"
}

# Starts the server as its user.
serve() {
    setpriv --reuid sealcard --regid sealcard --clear-groups sealcard-server serve &
    server=$!
    wait_until test -e /proc/$server/exe
}

stop() {
    kill $server
    wait $server
}

# The server works, for a workstation that is set up.
works() {
    serve
    wait_until administrator admin environment list
    sign
}

# With the packages of an earlier version: signatures are made with them, and with those of this version after the running
# server's program was replaced; then the earlier ones can be used again. Needs `change VERSION`, which installs.
upgrade_and_downgrade() {
    homes=/tmp/homes
    mkdir "$homes"
    # debootstrap writes none.
    echo '127.0.0.1 localhost' >/etc/hosts
    cp /tmp/password /var/lib/sealcard/tls/ca.pem "$homes"
    serve
    set_up_workstation default
    sign

    change "$NEW"
    test "$(readlink /proc/$server/exe)" = '/usr/bin/sealcard-server (deleted)'
    sign
    stop
    works
    stop

    data >/tmp/before
    change "$EARLIER"
    data_is_unchanged
    works
    stop

    data >/tmp/before
    change "$NEW"
    data_is_unchanged
    works
    stop
    test -L /etc/systemd/system/multi-user.target.wants/sealcard-server.service
    data >/tmp/before
}
