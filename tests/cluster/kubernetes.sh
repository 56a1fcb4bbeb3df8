#!/bin/sh
# Kubernetes and CoreDNS, built as Go modules, in a folder of the cache that is named after this file and
# what it builds: nothing else that changes builds them anew.
#
#   kubernetes.sh CACHE   builds what is missing, and prints the folder
set -eu
here=$(cd "$(dirname "$0")" && pwd)
key=$(cat "$here/kubernetes.sh" "$here"/tools/*/go.mod "$here"/tools/*/main.go | sha256sum | cut -c1-12)
folder=$1/cluster/kubernetes-$key
if [ -f "$folder/complete" ]; then
    echo "$folder"
    exit 0
fi
mkdir -p "$folder"

build() { # module program package flags...
    program=$folder/$2
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
    ln -sf kube "$folder/$server"
done
touch "$folder/complete"
echo "$folder"
