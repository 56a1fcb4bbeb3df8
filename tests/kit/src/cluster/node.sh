# Process 1 of a node. Its working directory is its own folder, of which `var` becomes its /var.
# It ends when one of its programs ends, and the kernel then ends the others, its pods among them.
mount --make-rprivate /
mount -t proc proc /proc
hostname "$NAME"
exec 3<&0 # a background job would lose it
folder=$PWD

# A /sys of this network namespace, whose cgroups begin at the node's own.
mount -t tmpfs tmpfs /mnt
mkdir /mnt/sys
mount -t sysfs sysfs /mnt/sys
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mount --bind "/sys/fs/cgroup/$CGROUP" /mnt/sys/fs/cgroup
else
    mount -t tmpfs tmpfs /mnt/sys/fs/cgroup
    for hierarchy in /sys/fs/cgroup/*; do
        if [ -L "$hierarchy" ]; then
            cp -d "$hierarchy" /mnt/sys/fs/cgroup
        elif [ -d "$hierarchy/$CGROUP" ]; then
            mkdir "/mnt$hierarchy"
            mount --bind "$hierarchy/$CGROUP" "/mnt$hierarchy"
        fi
    done
fi
# The kubelet counts CPUs, and hands them to pods, by this file.
echo "$CPUS" >/mnt/cpus
mount --bind /mnt/cpus /mnt/sys/devices/system/cpu/online
mount --move /mnt/sys /sys

# The kubelet sets these for the whole machine unless they are as it wants them.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=/mnt/$(basename "${setting%=*}")
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
done
echo 1 >/proc/sys/net/ipv4/ip_forward

mkdir -p var/lib/kubelet var/lib/containerd var/log
ln -s /run var/run
mount --bind var /var
mount -t tmpfs tmpfs /run
mount --make-rshared /

# Each program in a cgroup of its own, as an init system has it: what the node itself uses is then
# to be seen in one, and cgroup v2 wants none in the root.
enter() {
    local root
    for root in /sys/fs/cgroup /sys/fs/cgroup/*; do
        if [ -f "$root/cgroup.procs" ]; then
            mkdir -p "$root/$1"
            echo "$BASHPID" >"$root/$1/cgroup.procs"
        fi
        # In cgroup v2 there is but one hierarchy, and what is below it is no other.
        [ ! -f /sys/fs/cgroup/cgroup.controllers ] || break
    done
}
run() {
    (enter "system.slice/$1.service" && exec "$@") >"$1.log" 2>&1 &
}
enter init.scope
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi

run containerd --config "$folder/containerd.toml"
until [ -S /run/containerd/containerd.sock ]; do sleep .1; done
ctr --namespace k8s.io images import "$(dirname "$folder")/pod.tar" >/dev/null

read -r _ # until the API server answers
run kubelet --config "$folder/kubelet.yaml" --kubeconfig "$folder/../$NAME.kubeconfig" \
    --hostname-override "$NAME" --node-ip "$ADDRESS"
# The machine's own limits of connection tracking stay as they are.
run kube-proxy --kubeconfig "$folder/../proxy.kubeconfig" --hostname-override "$NAME" --proxy-mode nftables \
    --conntrack-max-per-core 0 --conntrack-min 0 \
    --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0
if [ -z "${KEPT-}" ]; then
    cat <&3 >/dev/null & # ends with the process at the other end of the pipe
fi
wait -n
