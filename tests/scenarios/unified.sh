#!/bin/sh
# The short form of the labelled trials where version 2 of cgroups is all there is: in a virtual machine of
# two CPUs under Debian's cloud kernel. Kernel, QEMU and busybox are unpacked from Debian's packages and not
# installed; there is no disk image, because all that the machine needs is in its memory.
#
#   unified.sh CACHE PROGRAMS RESULTS [FLAG...]   runs the programs of the folder PROGRAMS, and leaves what
#                                                 accuracy run --short FLAG... gives in the folder RESULTS
set -eu
here=$(cd "$(dirname "$0")" && pwd)
packages="qemu-system-x86 linux-image-cloud-amd64 busybox-static"
programs="accuracy berth berth-agent berth-aggregator berth-loadgen refmodel scanner"
# The victim's and the rest's.
cpus=2
memory_mib=4096
# Results are some 300 KiB; the file is sparse.
disk_mib=64
# With a processor's help the first program runs 2 s after the start, without it 5 s.
first_program_within=20s
# The trials take less than 6 min.
all_within=600s

no() {
    echo "there is no run on unified cgroups: $*" >&2
    exit 3
}
[ "$(uname -sm)" = "Linux x86_64" ] || no "it needs Linux on x86_64"
cache=$1
from=$2
results=$3
shift 3
for program in $programs; do
    [ -f "$from/$program" ] || no "$program is not in $from: make build"
done

folder=$cache/unified-$(cat "$here/unified.sh" "$here/../cluster/debian.sh" | sha256sum | cut -c1-12)
debian=$folder/debian
mkdir -p "$folder"
# Two clones may want it at the same time; the second one finds it complete.
exec 9>"$folder/lock"
flock 9
if [ ! -f "$debian.complete" ]; then
    # shellcheck disable=SC2086
    "$here/../cluster/debian.sh" "$debian" $packages || no "$packages come from Debian's packages"
    touch "$debian.complete"
fi
exec 9>&-
# What is installed on this machine was not unpacked.
file_of() {
    # shellcheck disable=SC2231
    for file in "$debian"/$1 /$1; do
        [ ! -f "$file" ] || { echo "$file" && return; }
    done
    no "$1 is neither in $debian nor on this machine"
}
kernel=$(file_of 'boot/vmlinuz-*-cloud-amd64')
qemu=$(file_of usr/bin/qemu-system-x86_64)
busybox=$(file_of bin/busybox)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/berth"
install "$busybox" "$root/bin/busybox"
# The trials' one tool that busybox may lack.
install "$(command -v nice)" "$root/bin/nice"
for program in $programs; do
    # Symbols would be most of what memory holds.
    install -s "$from/$program" "$root/berth"
done
ldd "$root"/bin/nice "$root"/berth/* | grep -o '/[^ :]* (' | tr -d ' (' | sort -u | while read -r library; do
    install -D "$library" "$root$library"
done
install "$here/unified/init" "$root/init"
(cd "$root" && find . | "$busybox" cpio -o -H newc 2>/dev/null) >"$work/memory"

machine() { # for at most how long, what makes it run, what the kernel is told
    truncate -s ${disk_mib}M "$work/disk"
    # shellcheck disable=SC2086
    LD_LIBRARY_PATH=$debian/usr/lib/x86_64-linux-gnu:$debian/lib/x86_64-linux-gnu \
        timeout --foreground "$1" "$qemu" $2 -machine q35 -smp $cpus -m $memory_mib \
        -L "$debian/usr/share/seabios" -L "$debian/usr/share/qemu" -L /usr/share/seabios -L /usr/share/qemu \
        -nodefaults -no-reboot -display none -serial stdio \
        -drive "if=none,id=results,format=raw,file=$work/disk" -device nvme,drive=results,serial=results \
        -kernel "$kernel" -initrd "$work/memory" -append "console=ttyS0 quiet panic=-1 psi=1 $3" </dev/null
}
processor="-accel kvm -cpu host"
told=
# A machine that is virtual itself may have a /dev/kvm which only kernels of its own kind can use.
if ! machine $first_program_within "$processor" "rdinit=/bin/busybox -- poweroff -f" >/dev/null 2>&1; then
    echo "/dev/kvm cannot run Debian's kernel here: the machine is emulated, and many times slower" >&2
    processor="-accel tcg -cpu max"
    # An emulated processor's counter is this machine's, and it does not speculate: other clocks, and
    # guards, would cost it most of its time in the kernel.
    told="tsc=reliable mitigations=off"
fi
echo "the short form of the trials, in a virtual machine: about 6 min" >&2
machine $all_within "$processor" "$told rdinit=/init -- $*" >&2 || no "the machine did not end by itself"

mkdir -p "$results"
tar -x -C "$results" -f "$work/disk" || no "the machine left no results"
status=$(cat "$results/status")
rm "$results/status"
exit "$status"
