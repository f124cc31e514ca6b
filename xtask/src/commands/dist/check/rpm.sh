# rpm's database has nothing of what dpkg installed: one package provides it. Units and users work as on other systems.
rpm --query --package --requires ./*.rpm | grep -v -e '^rpmlib(' -e '^sealcard' | sort -u >/tmp/needed
{
    printf 'Name: system\nVersion: 1\nRelease: 1\nSummary: The system\nLicense: none\nBuildArch: noarch\n'
    sed 's/^/Provides: /; s/ [<>=].*//' /tmp/needed
    printf '%%description\nThe system.\n%%files\n'
} >/tmp/system.spec
rpmbuild -bb --quiet --define '_topdir /tmp/rpmbuild' /tmp/system.spec
rpm --install /tmp/rpmbuild/RPMS/noarch/system-1-1.noarch.rpm

rpm --install ./*.rpm
rpm --verify sealcard sealcard-server sealcard-signer
programs_run
nothing_is_set_up
units_are_well_formed
set_up
data >/tmp/before

# As in an upgrade: the new version comes before the old one goes.
rpm --upgrade --replacepkgs ./*.rpm
data_is_unchanged
test -L /etc/systemd/system/multi-user.target.wants/sealcard-server.service

rpm --erase sealcard sealcard-server sealcard-signer
no_program_is_left
data_is_unchanged
test ! -L /etc/systemd/system/sockets.target.wants/sealcard-signer@release.socket
