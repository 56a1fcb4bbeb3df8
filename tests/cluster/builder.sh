#!/bin/sh
# What builds images without a daemon, a registry or an installed program: buildah, and the two base images
# of the Dockerfile made of Debian's packages, in a folder of the cache that is named after the scripts.
#
#   builder.sh CACHE   fetches what is missing, and prints the folder, in which ./buildah is
#
# images.sh calls it, one at a time.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
key=$(cat "$here/builder.sh" "$here/debian.sh" | sha256sum | cut -c1-12)
folder=$1/images/builder-$key
if [ -f "$folder/complete" ]; then
    echo "$folder"
    exit 0
fi
# Nobody uses an older one meanwhile.
rm -rf "$1"/images/builder-*
mkdir -p "$folder" "$1/images/tmp"
echo "fetching buildah and a compiler's packages from Debian: half a minute, once" >&2
"$here/debian.sh" "$folder/debian" buildah

# It starts itself again without LD_LIBRARY_PATH, so the loader must find its libraries by itself.
ldconfig -C "$folder/ld.so.cache" "$folder"/debian/usr/lib/*-linux-gnu
# Its mounts are its own and end with it. Its cache mounts lie below TMPDIR, which outlives this folder.
cat >"$folder/buildah" <<'END'
#!/bin/sh
exec unshare --mount sh -euc '
    mount --bind "$0/ld.so.cache" /etc/ld.so.cache
    export TMPDIR="${0%/*}/tmp" CONTAINERS_REGISTRIES_CONF="$0/debian/etc/containers/registries.conf"
    exec "$0/debian/usr/bin/buildah" --root "$0/storage" --runroot "$0/run" --storage-driver overlay "$@"
' "$(dirname "$0")" "$@"
END
chmod +x "$folder/buildah"

base() { # image, of the file system in a folder; further lines of its Dockerfile on stdin
    { printf 'FROM scratch\nCOPY . /\n' && cat; } >"$folder/Dockerfile"
    "$folder/buildah" build --isolation chroot --signature-policy "$folder/debian/etc/containers/policy.json" \
        --quiet --tag "localhost/$1" --file "$folder/Dockerfile" "$folder/$1" >"$folder/$1.log" 2>&1 || {
        tail -n 5 "$folder/$1.log" >&2
        exit 1
    }
    rm -r "$folder/${1:?}"
}

# The compiler itself comes from this machine: images.sh lends it.
"$here/debian.sh" --whole "$folder/build" coreutils dash diffutils findutils gcc libc6-dev
ln -s gcc "$folder/build/usr/bin/cc"
mkdir -p "$folder/build/root" "$folder/build/tmp"
base build <<'END'
ENV PATH=/usr/local/rust/bin:/usr/bin:/bin CARGO_HOME=/usr/local/cargo-home
END

# As gcr.io/distroless/cc-debian12:nonroot is made.
"$here/debian.sh" --only "$folder/slim" base-files libc6 libgcc-s1
rm -r "$folder/slim"/usr/lib/*/gconv "$folder/slim/etc/update-motd.d"
echo 'hosts: files dns' >"$folder/slim/etc/nsswitch.conf"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >"$folder/slim/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$folder/slim/etc/group"
base slim <<'END'
ENV PATH=/usr/local/bin:/usr/bin:/bin
END
touch "$folder/complete"
echo "$folder"
