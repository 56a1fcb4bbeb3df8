#!/bin/sh
# The programs that trials use and this tree does not build: stress-ng, nginx, xz and zstd, unpacked from
# Debian's packages and not installed, and a Python with scikit-learn, from PyPI. All of it lies in one
# folder of the cache, which is named after what it is made of, so that clones share it.
#
#   tools.sh CACHE    fetches what is missing, and prints the folder; what cannot be had is said, and its
#                     trials are left out
set -eu
here=$(cd "$(dirname "$0")" && pwd)
packages="stress-ng nginx xz-utils zstd"
wheels="numpy==2.2.6 pandas==2.2.3 scikit-learn==1.6.1 gunicorn==23.0.0"

key=$(cat "$here/tools.sh" "$here/../cluster/debian.sh" | sha256sum | cut -c1-12)
folder=$1/scenarios-$key
mkdir -p "$folder"
# Two clones may want it at the same time; the second one finds it complete.
exec 9>"$folder/lock"
flock 9
if [ ! -f "$folder/debian.complete" ]; then
    # shellcheck disable=SC2086
    if "$here/../cluster/debian.sh" "$folder/debian" $packages; then
        touch "$folder/debian.complete"
    else
        echo "trials with $packages are left out: they come from Debian's packages" >&2
    fi
fi
if [ ! -f "$folder/venv.complete" ]; then
    # shellcheck disable=SC2086
    if rm -rf "$folder/venv" && python3 -m venv "$folder/venv" &&
        "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: $wheels >&2; then
        touch "$folder/venv.complete"
    else
        echo "trials with Python are left out: they need python3, python3-venv and PyPI" >&2
    fi
fi
echo "$folder"
