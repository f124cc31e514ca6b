# rpm's database has nothing of what dpkg installed: one package provides it. Units and users work as on other systems.
rpm --query --package --requires ./*.rpm | grep -v -e '^rpmlib(' -e '^sealcard' | sort -u >/tmp/needed
{
    printf 'Name: system\nVersion: 1\nRelease: 1\nSummary: The system\nLicense: none\nBuildArch: noarch\n'
    sed 's/^/Provides: /; s/ [<>=].*//' /tmp/needed
    printf '%%description\nThe system.\n%%files\n'
} >/tmp/system.spec
rpmbuild -bb --quiet --define '_topdir /tmp/rpmbuild' /tmp/system.spec
rpm --install /tmp/rpmbuild/RPMS/noarch/system-1-1.noarch.rpm

PACKAGES='sealcard sealcard-server sealcard-signer sealcard-audit'
NEW=$(rpm --query --package --queryformat '%{VERSION}' ./sealcard-server-*.rpm)
EARLIER=$NEW~earlier
rpmkeys --import sealcard.asc

# The files of a version in the repository.
files() {
    for package in $PACKAGES; do
        echo rpm/*/"$package-$1-1."*.rpm
    done
}

if command -v dnf; then
    mkdir /tmp/repos
    cat >/tmp/repos/sealcard.repo <<END
[sealcard]
name=Sealcard
baseurl=file:///mnt/rpm
gpgcheck=1
repo_gpgcheck=1
gpgkey=file:///mnt/sealcard.asc
END
    change() {
        dnf install --assumeyes --setopt=reposdir=/tmp/repos --allowerasing $(printf "%s-$1 " $PACKAGES)
    }
else
    change() {
        rpmkeys --checksig $(files "$1")
        rpm --upgrade --oldpackage $(files "$1")
    }
fi

# The auditor's package needs no other one.
rpm --install "rpm/$(cd rpm && echo */"sealcard-audit-$EARLIER-1."*.rpm)"
auditor_is_alone
rpm --erase sealcard-audit

change "$EARLIER"
rpm --verify $PACKAGES
programs_run
nothing_is_set_up
units_are_well_formed
set_up
upgrade_and_downgrade
rpm --verify $PACKAGES
test "$(rpm --query --queryformat '%{VERSION}' sealcard-server)" = "$NEW"

rpm --erase $PACKAGES
no_program_is_left
data_is_unchanged
test ! -L /etc/systemd/system/sockets.target.wants/sealcard-signer@release.socket
