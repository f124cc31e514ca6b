# dpkg would make an index of all manual pages each time, which takes long on a large system.
rm -f /var/lib/man-db/auto-update

dpkg --install ./*.deb
programs_run
nothing_is_set_up
units_are_well_formed
set_up
data >/tmp/before

# As in an upgrade.
dpkg --install ./*.deb
data_is_unchanged
test -L /etc/systemd/system/multi-user.target.wants/sealcard-server.service

dpkg --remove sealcard sealcard-server sealcard-signer
no_program_is_left
data_is_unchanged

dpkg --purge sealcard sealcard-server sealcard-signer
data_is_unchanged
test -z "$(find /etc/systemd -name 'sealcard*')"
