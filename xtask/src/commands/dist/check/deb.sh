# dpkg would make an index of all manual pages each time, which takes long on a large system.
rm -f /var/lib/man-db/auto-update

PACKAGES='sealcard sealcard-server sealcard-signer sealcard-audit'
NEW=$(dpkg-deb --field ./sealcard-server_*.deb Version)
EARLIER=${NEW%-*}~earlier-1

# An apt that knows this repository alone.
mkdir -p /tmp/apt/lists/partial /etc/apt/keyrings
cp sealcard.asc /etc/apt/keyrings/
cat >/tmp/apt/sealcard.sources <<END
Types: deb
URIs: file:/mnt/apt
Suites: stable
Components: main
Signed-By: /etc/apt/keyrings/sealcard.asc
END
cat >/tmp/apt/apt.conf <<END
APT::Sandbox::User "root";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "/tmp/apt";
Dir::State::Lists "/tmp/apt/lists";
END
export APT_CONFIG=/tmp/apt/apt.conf
apt-get update --error-on=any

change() {
    apt-get install --yes --allow-downgrades $(printf "%s=$1 " $PACKAGES)
    for package in $PACKAGES; do
        test "$(dpkg-query --show --showformat='${Version}' "$package")" = "$1"
    done
}

# The auditor's package needs no other one.
apt-get install --yes "sealcard-audit=$EARLIER"
auditor_is_alone

change "$EARLIER"
programs_run
nothing_is_set_up
units_are_well_formed
set_up
upgrade_and_downgrade

apt-get remove --yes $PACKAGES
no_program_is_left
data_is_unchanged

dpkg --purge $PACKAGES
data_is_unchanged
test -z "$(find /etc/systemd -name 'sealcard*')"
