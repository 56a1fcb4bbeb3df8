#!/bin/sh
# Unpacks Debian's packages into a folder, and does not install them, so that no service starts and no
# other file of this machine changes.
#
#   debian.sh FOLDER PACKAGE...           these, and what they need that is not installed here
#   debian.sh --whole FOLDER PACKAGE...   these, and everything that they need
#   debian.sh --only FOLDER PACKAGE...    these alone
set -eu
need=here
case $1 in --*)
    need=${1#--}
    shift
    ;;
esac
folder=$1
shift
command -v apt-get >/dev/null 2>&1 || {
    echo "apt-get is missing: $* come from Debian" >&2
    exit 1
}

rm -rf "$folder" "$folder.debs"
mkdir -p "$folder.debs/partial"
fetch() {
    case $need in
    only) (cd "$folder.debs" && apt-get download -o APT::Sandbox::User=root "$@") ;;
    whole) download -o Dir::State::status=/dev/null "$@" ;;
    *) download "$@" ;;
    esac >"$folder.log" 2>&1
}
download() {
    apt-get install --quiet --yes --no-install-recommends --download-only \
        -o APT::Sandbox::User=root -o Dir::Cache::archives="$folder.debs" "$@"
}
# A fresh machine has no package lists yet.
fetch "$@" || { apt-get update >"$folder.log" 2>&1 && fetch "$@"; } || {
    tail -n 3 "$folder.log" >&2
    exit 1
}
mkdir "$folder"
for package in "$folder.debs"/*.deb; do
    # There is none when everything is installed.
    [ ! -f "$package" ] || dpkg-deb -x "$package" "$folder"
done
rm -r "$folder.debs" "$folder.log"
