#!/usr/bin/env python3
"""`genie astra` beside ASTRA-sim's own analytical binaries: random inputs, and speed.

    compare.py --genie G --unaware U --aware A random --cases 1000 [--seed 1] [--keep DIR]
    compare.py --genie G --unaware U --aware A speed

U and A are AstraSim_Analytical_Congestion_Unaware and _Aware, built by whoever runs this. See docs/astra.md.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

import cases
import speed

STATISTICS = re.compile(r"\[statistics\] \[info\] (sys\[(\d+)\].*)")
BAD = ("differ", "partly-differ", "crash", "slow")
LINE = re.compile(r"sys\[(\d+)\] finished, (\d+) cycles, exposed communication (\d+) cycles\.")


def execute(command, folder, limit):
    """The answers by NPU, the exit status (or None: out of time), what was said, and the lines of statistics by NPU."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=limit)
    except subprocess.TimeoutExpired:
        return {}, None, "out of time", {}
    answers = {int(npu): (int(cycles), int(exposed)) for npu, cycles, exposed in LINE.findall(done.stdout)}
    statistics = {}
    for line, npu in STATISTICS.findall(done.stdout):
        statistics.setdefault(int(npu), []).append(line)
    return answers, done.returncode, done.stdout[-500:] + done.stderr[-2000:], statistics


def judge(theirs, ours, npus):
    """One word for a pair of runs."""
    (expected, their_status, _, lines), (got, our_status, said, our_lines) = theirs, ours
    if our_status is None:
        return "slow"
    if our_status not in (0, 2, 4) or "panicked" in said:
        return "crash"
    if our_status == 0 and len(got) != npus:
        return "crash"
    wrong = any(got.get(npu) != answer for npu, answer in expected.items())
    # ASTRA-sim loses the rest of a rank's statistics when it throws, and more when it aborts; the order of the
    # others is its hash table's.
    if their_status == 0:
        whole = {npu: set(told) for npu, told in lines.items() if any(" end." in line for line in told)}
        wrong |= any(set(our_lines.get(npu, [])) != told for npu, told in whole.items())
    if len(expected) == npus:
        return "differ" if wrong else "equal"
    if expected and wrong:
        return "partly-differ"
    return "no-answer" if not expected else "partly-equal"


def play(args, seed, folder):
    rng = random.Random(seed)
    flags, backend = cases.write_case(rng, folder)
    npus = sum(name.startswith("trace.") for name in os.listdir(folder))
    oracle = args.aware if backend == "aware" else args.unaware
    theirs = execute([oracle, *flags], folder, args.limit)
    ours = execute([args.genie, "astra", *flags, "--backend", backend], folder, args.limit)
    verdict = judge(theirs, ours, npus)
    with open(os.path.join(folder, "verdict"), "w") as file:
        file.write(f"seed {seed}: {verdict}\n{backend} {' '.join(flags)}\n")
        for who, (answers, status, said, lines) in (("ASTRA-sim", theirs), ("genie", ours)):
            file.write(f"== {who}: exit {status}\n{sorted(answers.items())}\n{sorted(lines.items())}\n{said}\n")
    return verdict, ours[1]


def compare_random(args):
    counts, bad = {}, []
    for seed in range(args.seed, args.seed + args.cases):
        folder = tempfile.mkdtemp(prefix="astra-case-")
        verdict, status = play(args, seed, folder)
        key = f"{verdict} (genie {status})" if verdict == "no-answer" else verdict
        counts[key] = counts.get(key, 0) + 1
        if verdict in BAD:
            bad.append(seed)
            print(f"seed {seed}: {verdict}", flush=True)
        if args.keep and (verdict in BAD or args.keep_all):
            shutil.copytree(folder, os.path.join(args.keep, str(seed)), dirs_exist_ok=True)
        shutil.rmtree(folder)
    print(", ".join(f"{key}: {counts[key]}" for key in sorted(counts)))
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("genie", "unaware", "aware"):
        parser.add_argument(f"--{name}", required=True, type=os.path.abspath)
    parser.add_argument("--limit", type=float, default=60, help="seconds that a run may take")
    what = parser.add_subparsers(dest="what", required=True)
    by_chance = what.add_parser("random", help="random inputs, NPU by NPU")
    by_chance.add_argument("--cases", type=int, default=200)
    by_chance.add_argument("--seed", type=int, default=1)
    by_chance.add_argument("--keep", help="folder for the inputs of cases that differ")
    by_chance.add_argument("--keep-all", action="store_true", help="and for all others")
    rows = what.add_parser("speed", help="CPU seconds and memory of the speed rows")
    rows.add_argument("--repeat", type=int, default=1)
    args = parser.parse_args()
    return compare_random(args) if args.what == "random" else speed.measure(args)


if __name__ == "__main__":
    sys.exit(main())
