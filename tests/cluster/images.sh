#!/bin/sh
# Berth's images for the cluster ring: the targets of the Dockerfile, built by the buildah of builder.sh with
# this machine's Rust. They lie in a folder of the cache that is named after what they are built from, so
# that clones share them and the same sources are built once.
#
#   images.sh CACHE          builds what is missing, and prints the folder: TARGET.tar for each image
#   images.sh --have CACHE   prints the folder, or says why there is none and exits with 3
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
have=
if [ "$1" = --have ]; then
    have=1
    shift
fi
targets="agent aggregator loadgen refmodel scanner"
programs="berth-agent berth-aggregator berth-loadgen refmodel scanner"
# How many builds stay: those of the branches that somebody goes to and fro between.
keep=4

no() {
    echo "Berth's images are not built here: $*" >&2
    [ -n "$have" ] && exit 3
    # Everything else is tested all the same.
    exit 0
}
[ "$(uname -s)" = Linux ] || no "it needs Linux"
[ "$(id -u)" = 0 ] || no "it mounts file systems, so it needs root"
command -v rustc >/dev/null 2>&1 || no "rustc is missing"

# What the Dockerfile copies out of a tree, without what .dockerignore leaves out, and the Dockerfile.
sources() {
    copied=$(sed -n 's/^COPY \([^-].*\) [^ ]*$/\1/p' Dockerfile)
    # shellcheck disable=SC2086
    find $copied Dockerfile .dockerignore -name tests -prune -o -type f -print | LC_ALL=C sort
}
key() { # of the sources in a folder
    { cd "$1" && sources | xargs -d '\n' sha256sum && rustc -vV && cd "$here" && cat images.sh builder.sh debian.sh; } |
        sha256sum | cut -c1-12
}
key=$(key "$root")
folder=$1/images/built-$key
if [ -f "$folder/complete" ]; then
    touch "$folder" # What is wanted stays.
    echo "$folder"
    exit 0
fi
[ -z "$have" ] || no "those of these sources are not there yet: make cluster-images builds them"
command -v apt-get >/dev/null 2>&1 || no "apt-get is missing: buildah and the base images come from Debian"

mkdir -p "$1/images"
# Two clones may want to build at the same time.
exec 9>"$1/images/lock"
flock 9
if [ -f "$folder/complete" ]; then
    echo "$folder"
    exit 0
fi
builder=$("$here/builder.sh" "$1")
rm -rf "$folder"
mkdir -p "$folder/sources"
# Somebody may be editing them.
(cd "$root" && sources | tar -c -T -) | tar -x -C "$folder/sources"
[ "$(key "$folder/sources")" = "$key" ] || {
    echo "the sources changed while they were copied: once more" >&2
    exec "$0" "$1"
}

echo "building Berth's images: some minutes the first time, and what changed after that" >&2
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
certificates=/etc/ssl/certs
mkdir -p "$cargo_home"
# The policy says whose images are trusted, which is asked of those of this machine too.
policy="--signature-policy $builder/debian/etc/containers/policy.json"
for target in $targets; do
    # As a kubelet reads the names in deploy/.
    image=docker.io/library/berth-$target:$version
    # shellcheck disable=SC2086
    {
        "$builder/buildah" build --isolation chroot --layers --pull-never $policy \
            --build-arg BUILD_IMAGE=localhost/build --build-arg RUN_IMAGE=localhost/slim \
            --build-arg PROGRAMS="$programs" \
            --volume "$(rustc --print sysroot):/usr/local/rust:ro" --volume "$cargo_home:/usr/local/cargo-home" \
            --volume "$certificates:$certificates:ro" \
            --target "$target" --tag "$image" "$folder/sources" &&
            "$builder/buildah" push --quiet $policy "$image" "docker-archive:$folder/$target.tar:$image"
    } >>"$folder/log" 2>&1 9>&- || {
        tail -n 20 "$folder/log" >&2
        exit 1
    }
done
rm -r "$folder/sources"
touch "$folder/complete"

# What no image is made of any longer, and the builds that were not wanted for longest.
"$builder/buildah" rmi --prune --force >>"$folder/log" 2>&1 9>&- || true
find "$1/images" -maxdepth 1 -name 'built-*' -printf '%T@ %p\n' | sort -rn | tail -n +$((keep + 1)) | cut -d ' ' -f 2- |
    xargs -r -d '\n' rm -r
echo "$folder"
