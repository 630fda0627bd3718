#!/usr/bin/env bash
# Messages of 64 bytes to and fro between two soft-RoCE devices, by genie (send-recv: both ranks send one and wait for the
# other's) and by perftest's ib_write_lat, in turns. Both are timed from outside, by the packets that leave the
# first interface: how many belong to a message is known at the end, how many leave in a second in the middle.
#
#   cargo build --release --features rdma
#   target/release/genie vm run --writable target -- benches/rdma/latency.sh target/release/genie
#
# Wants perftest, iproute2 and the module rdma_rxe, as bandwidth.sh does. Takes about a minute.
# Exit code 0: a message of genie's takes at most 1.3 times as long as one of ib_write_lat; 1: longer; 2: something is missing.

set -uo pipefail
genie=$(realpath "${1:?genie built with the feature rdma}") || exit 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
wanted=(ib_write_lat)
. "$here/pair.sh"

# reached PACKETS: waits until so many more have left than at first; puts into `at` when that was.
reached() {
    for _ in $(seq 1200); do
        counted packets
        [ $((count - first)) -lt "$1" ] || break
        nap 0.1
    done
    at=${EPOCHREALTIME/./}
}

# each ROUNDS COMMAND...: puts into `took` the nanoseconds of a round of one message each way, of the command that plays so
# many rounds: how fast packets leave from a quarter of them on to three quarters, and how many belong to a round.
each() {
    local rounds=$1 first begun before took_packets
    shift
    counted packets
    first=$count
    "$@" >"$work/said" 2>&1 &
    local playing=$!
    reached $((rounds / 2))
    begun=$at before=$count
    reached $((rounds * 3 / 2))
    took=$((at - begun)) took_packets=$((count - before))
    wait $playing || { cat "$work/said" >&2; exit 2; }
    counted packets
    took=$(((count - first) * took / took_packets * 1000 / rounds))
}

theirs() {
    local command=(ib_write_lat -x 1 -s 64 -n 20000 -F)
    "${command[@]}" -d rxe_bwb >"$work/server" 2>&1 &
    sleep 1
    each 20000 "${command[@]}" -d rxe_bwa 10.99.0.2
}

ours() {
    each 20000 "$genie" run "$here/latency.toml" --quiet --results "$work/results"
}

their=0 our=0
for _ in 1 2 3; do
    theirs
    their=$((their + took / 2))
    ours
    our=$((our + took))
done
ratio=$((1000 * our / their))
in_us() {
    echo "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"
}
echo "64 B: genie $(in_us $((our / 3))) us, ib_write_lat $(in_us $((their / 3))) us one way, ratio $(in_us $ratio)"
[ $ratio -le 1300 ]
