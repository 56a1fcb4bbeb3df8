# Process 1 of the control plane. Its working directory is its own folder; the keys lie above it.
# It ends when one of its programs ends, and the kernel then ends the others.
mount --make-rprivate /
mount -t proc proc /proc
hostname "$NAME"
exec 3<&0 # a background job would lose it
# A cluster of a few minutes needs no disk: etcd would wait for it at every write.
mkdir etcd
mount -t tmpfs tmpfs etcd
keys=$(dirname "$PWD")

run() {
    "$@" >"$1.log" 2>&1 &
}

read -r _ # until the network is there
run etcd --data-dir etcd \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
run kube-apiserver --etcd-servers=http://127.0.0.1:2379 --allow-privileged=true \
    --bind-address="$ADDRESS" --advertise-address="$ADDRESS" --secure-port=6443 \
    --tls-cert-file="$keys/apiserver.crt" --tls-private-key-file="$keys/apiserver.key" \
    --client-ca-file="$keys/ca.crt" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --kubelet-client-certificate="$keys/kubelets.crt" --kubelet-client-key="$keys/kubelets.key" \
    --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$keys/sa.pub" --service-account-signing-key-file="$keys/sa.key" \
    --service-cluster-ip-range="$SERVICES"

read -r _ # until the API server answers
run kube-controller-manager --kubeconfig="$keys/controllers.kubeconfig" --leader-elect=false \
    --bind-address=127.0.0.1 --use-service-account-credentials \
    --service-account-private-key-file="$keys/sa.key" --root-ca-file="$keys/ca.crt"
run kube-scheduler --kubeconfig="$keys/scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1
cat >Corefile <<COREFILE
. {
    errors
    cache 5
    kubernetes cluster.local {
        kubeconfig $keys/names.kubeconfig berth
    }
}
COREFILE
run coredns -conf Corefile
if [ -z "${KEPT-}" ]; then
    cat <&3 >/dev/null & # ends with the process at the other end of the pipe
fi
wait -n
