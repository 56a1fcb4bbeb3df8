#!/bin/sh
# Puts the load generators that `make bench-load` measures beside ours into the folder $1: hey and wrk from
# Debian's packages, unpacked and not installed, and oha from the crate registry.
set -eu
dir=$1
# The newest of the crate when this was written; the page of figures names it.
oha=1.15.0
mkdir -p "$dir"
fetch() {
    apt-get download "$@" >log 2>&1 || {
        # A fresh machine has no package lists yet.
        apt-get update >log 2>&1 && apt-get download "$@" >>log 2>&1
    } || {
        tail -n 3 log >&2
        echo "$* cannot be fetched: run this as root once, or install the packages hey and wrk" >&2
        exit 1
    }
}
[ -x "$dir/hey" ] && [ -x "$dir/wrk" ] || (
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    cd "$scratch"
    # wrk's scripts run in LuaJIT, which comes as a library.
    fetch hey wrk libluajit-5.1-2
    for package in *.deb; do dpkg-deb -x "$package" root; done
    mkdir -p "$dir/lib"
    cp -L root/usr/lib/*/libluajit-5.1.so.2 "$dir/lib/"
    cp root/usr/bin/wrk "$dir/lib/wrk"
    cp root/usr/bin/hey "$dir/hey"
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$dir/lib" "$dir/lib/wrk" >"$dir/wrk"
    chmod +x "$dir/wrk"
)
[ -x "$dir/oha-$oha" ] || {
    cargo install --quiet --locked --root "$dir/oha.new" --no-default-features --features rustls --version "$oha" oha >&2
    mv "$dir/oha.new/bin/oha" "$dir/oha-$oha"
    rm -rf "$dir/oha.new"
}
ln -sf "oha-$oha" "$dir/oha"
echo "$dir"
