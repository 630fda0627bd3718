#!/usr/bin/env bash
# RDMA writes of 64 KiB and 1 MiB, eight in flight, by genie and by perftest's ib_write_bw over the same two soft-RoCE
# devices, in turns. Both are timed from outside, by the bytes that leave the sender's interface: perftest's own clock
# misreads under emulation.
#
#   cargo build --release --features rdma
#   target/release/genie vm run --writable target -- benches/rdma/bandwidth.sh target/release/genie
#
# Wants perftest, iproute2 and the module rdma_rxe: the guest of `genie vm run`, or root on a kernel that has it (then two
# interfaces, a namespace and two RDMA devices are made and removed again). Takes about a minute and a half.
# Exit code 0: genie reaches 0.9 of ib_write_bw at both sizes; 1: it does not; 2: something is missing.

set -uo pipefail
genie=$(realpath "${1:?genie built with the feature rdma}") || exit 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for tool in ip rdma ib_write_bw; do
    command -v $tool >/dev/null || { echo "bandwidth.sh: there is no $tool" >&2; exit 2; }
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

# Both ends stand in this namespace and their cables meet on a bridge in another: so packets leave the machine's stack.
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

# rate: bytes a second that leave the first interface, over three seconds.
rate() {
    local counter=/sys/class/net/bwa/statistics/tx_bytes bytes nanoseconds
    bytes=$(<$counter) nanoseconds=$(date +%s%N)
    sleep 3
    echo $((($(<$counter) - bytes) * 1000000 / (($(date +%s%N) - nanoseconds) / 1000)))
}

perftest() {
    local command=(ib_write_bw -x 1 -s "$1" -t 8 -D 60 -F)
    "${command[@]}" -d rxe_bwb >"$work/server" 2>&1 &
    local server=$!
    sleep 1
    "${command[@]}" -d rxe_bwa 10.99.0.2 >"$work/client" 2>&1 &
    local client=$!
    sleep 3
    rate
    kill $client $server
    wait $client $server 2>/dev/null
}

played() {
    sed "s/SLOT/$1/" "$here/bandwidth.toml" >"$work/bandwidth.toml"
    "$genie" run "$work/bandwidth.toml" --quiet --results "$work/results" >"$work/genie" 2>&1 &
    local run=$!
    sleep 4
    rate
    kill $run
    wait $run 2>/dev/null
}

held=0
for size in 65536 1048576; do
    theirs=0 ours=0
    for _ in 1 2; do
        theirs=$((theirs + $(perftest $size)))
        ours=$((ours + $(played $size)))
    done
    [ $theirs -gt 0 ] || { cat "$work/client" >&2; exit 2; }
    ratio=$((1000 * ours / theirs))
    echo "writes of $size B: genie $((ours / 2000)) kB/s, ib_write_bw $((theirs / 2000)) kB/s, ratio $((ratio / 1000)).$(printf %03d $((ratio % 1000)))"
    [ $ratio -ge 900 ] || held=1
done
exit $held
