# The administrator and a person at a workstation have homes of their own in $homes.
administrator() {
    HOME=$homes/administrator sealcard "$@"
}

alice() {
    HOME=$homes/alice "$@"
}

# Runs a command until it succeeds.
wait_until() {
    set +x
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then
            set -x
            return
        fi
        sleep 0.1
    done
    set -x
    "$@"
}

# Makes a person with a key in an environment, and sets a workstation up. $homes has the server's authority and the
# administrator's password.
set_up_workstation() {
    mkdir -m 700 "$homes/administrator" "$homes/alice"
    echo 'a password of alice' >"$homes/password-of-alice"
    wait_until administrator login https://localhost:8443 --user admin --no-sync \
        --password-file "$homes/password" --ca-file "$homes/ca.pem"
    administrator admin user add alice --password-file "$homes/password-of-alice"
    administrator admin project add packages
    administrator admin project add-member packages --user alice --role key-user
    administrator admin key create packages/key --user-id 'Key <key@example.org>' --environment "$1"
    alice sealcard login https://localhost:8443 --user alice --setup \
        --password-file "$homes/password-of-alice" --ca-file "$homes/ca.pem"
}

# Signs with gpg and the server's key, and verifies that.
sign() {
    date >"$homes/content"
    alice gpg --batch --yes --local-user key@example.org --output "$homes/content.sig" --detach-sign "$homes/content"
    alice gpg --batch --status-fd 1 --verify "$homes/content.sig" "$homes/content" | grep '^\[GNUPG:\] GOODSIG'
}
