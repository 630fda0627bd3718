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
wanted=(ib_write_bw)
. "$here/pair.sh"

perftest() {
    local command=(ib_write_bw -x 1 -s "$1" -t 8 -D 60 -F)
    "${command[@]}" -d rxe_bwb >"$work/server" 2>&1 &
    local server=$!
    sleep 1
    "${command[@]}" -d rxe_bwa 10.99.0.2 >"$work/client" 2>&1 &
    local client=$!
    sleep 3
    rate bytes 3
    kill $client $server
    wait $client $server 2>/dev/null
}

played() {
    sed "s/SLOT/$1/" "$here/bandwidth.toml" >"$work/bandwidth.toml"
    "$genie" run "$work/bandwidth.toml" --quiet --results "$work/results" >"$work/genie" 2>&1 &
    local run=$!
    sleep 4
    rate bytes 3
    kill $run
    wait $run 2>/dev/null
}

held=0
for size in 65536 1048576; do
    theirs=0 ours=0
    for _ in 1 2; do
        perftest $size
        theirs=$((theirs + per_second))
        played $size
        ours=$((ours + per_second))
    done
    [ $theirs -gt 0 ] || { cat "$work/client" >&2; exit 2; }
    ratio=$((1000 * ours / theirs))
    echo "writes of $size B: genie $((ours / 2000)) kB/s, ib_write_bw $((theirs / 2000)) kB/s, ratio $((ratio / 1000)).$(printf %03d $((ratio % 1000)))"
    [ $ratio -ge 900 ] || held=1
done
exit $held
