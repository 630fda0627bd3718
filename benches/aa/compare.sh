#!/usr/bin/env bash
# A/A: plays a scenario again and again with nothing changed and counts the pairs that `genie diff`
# takes for different; at most one in twenty may be. Wants a quiet machine.
#
#   benches/aa/compare.sh [--pairs 20] [--repeat 1] [--scenario scenarios/allreduce.toml] [--results DIR] [--genie PROGRAM]
#
# A pair of single runs of scenarios/allreduce.toml takes about a minute, one of five repetitions each
# five minutes. Runs that are in DIR already (from an earlier call that was ended) are used again.
# Exit code 0: at most one pair in twenty differs; 1: more do; 2: something could not be played.

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2

pairs=20 repeat=1 scenario=scenarios/allreduce.toml results=target/aa genie=
while [ $# -gt 0 ]; do
    case $1 in
    --pairs | --repeat | --scenario | --results | --genie)
        [ $# -gt 1 ] || { echo "$1 wants a value" >&2; exit 2; }
        declare "${1#--}=$2"
        shift 2
        ;;
    *)
        sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 2
        ;;
    esac
done

if [ -z "$genie" ]; then
    cargo build --release --quiet || exit 2
    genie=target/release/genie
fi
mkdir -p "$results"
different=0
for pair in $(seq "$pairs"); do
    for side in a b; do
        tag=pair$pair-$side
        "$genie" tag --results "$results" | grep -q "  $tag\$" && continue
        "$genie" run "$scenario" --repeat "$repeat" --quiet --results "$results" >"$results/last.log" || {
            tail -n 5 "$results/last.log"
            exit 2
        }
        "$genie" tag latest "$tag" --results "$results" || exit 2
    done
    verdict=$("$genie" diff "pair$pair-a" "pair$pair-b" --results "$results" --json |
        python3 -c '
import json, sys
found = json.load(sys.stdin)
rows = [(row["key"].get("bytes", "geomean"), change) for row in found["rows"] + found["means"] for change in row["changes"]]
told = ["%s:%+.2f%%" % (key, change["change"] * 100) for key, change in rows if change and change["verdict"] != "unproven"]
print(found["sample"], *told)') || exit 2
    echo "pair $pair: $verdict"
    case $verdict in *:*) different=$((different + 1)) ;; esac
done
echo "$different of $pairs pairs differ"
[ $((different * 20)) -le "$pairs" ]
