# For the scripts beside: two soft-RoCE devices, rxe_bwa and rxe_bwb, whose cables meet on a bridge, and what leaves the
# first, counted from outside. Sourced after `genie` and `here` are set; leaves `work`, a folder that is removed at the end.
#
# Both ends stand in this namespace and the bridge in another: so packets leave the machine's stack.

for tool in ip rdma "${wanted[@]}"; do
    command -v "$tool" >/dev/null || { echo "$(basename "$0"): there is no $tool" >&2; exit 2; }
done
work=$(mktemp -d "${TMPDIR:-/dev/shm}/genie-rdma.XXXXXX") || exit 2

remove() {
    jobs -p | xargs -r kill 2>/dev/null
    ip link delete bwa 2>/dev/null
    ip link delete bwb 2>/dev/null
    ip netns delete bwsw 2>/dev/null
    rm -rf "$work"
}
trap remove EXIT

for setting in rp_filter=0 accept_local=1 arp_ignore=1 arp_announce=2; do
    for which in all default; do echo "${setting#*=}" >"/proc/sys/net/ipv4/conf/$which/${setting%=*}"; done
done
ip netns add bwsw && ip -n bwsw link add name br0 type bridge && ip -n bwsw link set br0 mtu 9000 up || exit 2
number=1
for end in a b; do
    ip link add "bw$end" mtu 9000 type veth peer name "port$end" mtu 9000 netns bwsw || exit 2
    ip -n bwsw link set "port$end" master br0 up
    ip address add "10.99.0.$number/24" dev "bw$end"
    ip link set "bw$end" up
    rdma link add "rxe_bw$end" type rxe netdev "bw$end" || exit 2
    number=$((number + 1))
done

# Nothing here starts a process while something is measured: that would take a processor away from it.

# counted WHAT: puts into `count` the bytes or packets that have left the first interface.
counted() {
    read -r count <"/sys/class/net/bwa/statistics/tx_$1"
}

# nap SECONDS
mkfifo "$work/silence" && exec {silence}<>"$work/silence" || exit 2
nap() {
    read -rt "$1" -u $silence
}

# rate WHAT SECONDS: puts into `per_second` how many leave in a second.
rate() {
    local before begun
    counted "$1"
    before=$count begun=${EPOCHREALTIME/./}
    nap "$2"
    counted "$1"
    per_second=$(((count - before) * 1000000 / (${EPOCHREALTIME/./} - begun)))
}
