#!/bin/sh
# The perf by which trials record who ran while a model waited: this machine's, or Debian's, unpacked into
# the cache and not installed.
#
#   perf.sh CACHE    fetches it if it is missing, and prints the program; where none can be had it prints
#                    "perf", and the trials say that they go without
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if command -v perf; then
    exit
fi

key=$(cat "$here/perf.sh" "$here/../cluster/debian.sh" | sha256sum | cut -c1-12)
folder=$1/perf-$key
mkdir -p "$folder"
# Two clones may want it at the same time; the second one finds it complete.
exec 9>"$folder/lock"
flock 9
if [ ! -x "$folder/perf" ]; then
    if "$here/../cluster/debian.sh" "$folder/debian" linux-perf; then
        # Its libraries lie beside it.
        cat >"$folder/perf.part" <<EOF
#!/bin/sh
debian='$folder/debian'
LD_LIBRARY_PATH=\$(echo "\$debian"/usr/lib/*-linux-gnu):\$(echo "\$debian"/lib/*-linux-gnu)
export LD_LIBRARY_PATH
exec "\$debian/usr/bin/perf" "\$@"
EOF
        chmod +x "$folder/perf.part"
        mv "$folder/perf.part" "$folder/perf"
    else
        echo "trials do not record who ran while a model waited: perf comes from Debian's packages" >&2
        echo perf
        exit
    fi
fi
echo "$folder/perf"
