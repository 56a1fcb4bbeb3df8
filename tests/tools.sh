#!/bin/sh
# Puts the programs that the tests call beside cargo's into the folder $1: promtool, from Debian's
# prometheus package, unpacked and not installed, so that no service starts. Where there is no apt,
# it says what is missing, and the test that needs it says so too.
set -eu
dir=$1
if command -v promtool >/dev/null 2>&1 || [ -x "$dir/promtool" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "promtool is missing: install the prometheus package to check the metrics' text" >&2
    exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
if ! apt-get download prometheus >log 2>&1; then
    # A fresh machine has no package lists yet.
    apt-get update >log 2>&1 && apt-get download prometheus >>log 2>&1 || {
        tail -n 3 log >&2
        echo "promtool cannot be fetched: run this as root once, or install the prometheus package" >&2
        exit 1
    }
fi
dpkg-deb -x prometheus_*.deb root
mkdir -p "$dir"
cp root/usr/bin/promtool "$dir/promtool.new"
mv "$dir/promtool.new" "$dir/promtool"
