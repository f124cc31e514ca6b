homes=$1 server_image=$2 signer_image=$3
cd "$homes"
ip link set lo up

mkdir server signer
tar --extract --file "$server_image" --directory server
tar --extract --file "$signer_image" --directory signer
for image in server signer; do
    tag=$(sed 's/.*"org.opencontainers.image.ref.name":"\([^"]*\)".*/\1/' $image/index.json)
    umoci unpack --image "$image:$tag" bundle-$image
    mv bundle-$image/config.json $image.json
done
# New volumes get what the images have there.
cp --archive bundle-server/rootfs/var/lib/sealcard data
cp --archive bundle-signer/rootfs/var/lib/sealcard-signer keys
cp --archive bundle-signer/rootfs/run/sealcard-signer sockets
echo 'a password for this test' >password
chmod 444 password

# Runs a container of an image, whose arguments can be replaced. Its files are read-only and it has no capabilities; only
# the network is that of this script.
container() {
    python3 -c "$configure" "$@"
    runc --root "$homes/state" run --bundle "bundle-$1" "$1-$(date +%N)"
}

configure=$(cat <<'END'
import json, os, sys

image, *arguments = sys.argv[1:]
with open(f"{image}.json") as file:
    config = json.load(file)
process = config["process"]
if arguments:
    process["args"] = process["args"][:1] + arguments
process.update(terminal=False, capabilities={})
config["root"]["readonly"] = True
config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "network"]
volumes = {"sockets": "/run/sealcard-signer", "password": "/run/password"}
volumes.update({"data": "/var/lib/sealcard"} if image == "server" else {"keys": "/var/lib/sealcard-signer"})
for source, target in volumes.items():
    mount = {"destination": target, "type": "bind", "source": os.path.abspath(source), "options": ["bind"]}
    config["mounts"].append(mount)
with open(f"bundle-{image}/config.json", "w") as file:
    json.dump(config, file)
END
)

container signer init --folder /var/lib/sealcard-signer/default --seal key-file
container server init --name localhost --admin-password-file /run/password \
    --socket /run/sealcard-signer/default --kind sealed
cp data/tls/ca.pem .
container signer &
container server &
set_up_workstation default
sign
test "$(stat --format=%u:%g:%a sockets/default)" = 10002:10000:660
test "$(stat --format=%u:%g:%a keys/default)" = 10002:10000:700
HOME=$homes/alice gpgconf --kill all
