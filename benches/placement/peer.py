#!/usr/bin/env python3
"""Jobs per CPU second of the public RFold simulator (github.com/shuoshuc/RFold, not part of this repository) and of
genie, on the same trace, one policy after the other.

    benches/placement/peer.py CHECKOUT_OF_RFOLD [--python PYTHON] [--trace FILE] [--jobs 300]

Without a trace the simulator generates one first, by itself, with 0.2 arrivals an hour. It runs as it is; its CPU time
is that of its process and the children that it forks for paths, as the kernel counts it, less that of a run that ends
after the first job (start-up: imports and the model). Genie is timed without and with verifying each placement; the
ratio is of the former, as the simulator verifies nothing. The simulator aborts after the last job where that was dropped; its time counts all the
same.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile

POLICIES = [("firstfit", "first-fit", 4), ("folding", "folding", 4), ("slurm_hilbert", "hilbert", 4),
            ("reconfig", "reconfiguration", 4), ("rfold", "rfold", 4),
            ("reconfig", "reconfiguration", 2), ("rfold", "rfold", 2)]


def simulator(args, extra):
    """CPU seconds of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([args.python, "launch.py", "--log_level", "ERROR", *extra], cwd=args.checkout,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=3600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def generated(args, folder):
    """A trace that the simulator made."""
    subprocess.run([args.python, os.path.join(args.checkout, "scripts/iat_gen.py")], cwd=folder, check=True)
    simulator(args, ["-n", str(args.jobs), "--place_policy", "reconfig", "--iat_file", os.path.join(folder, "iat0.2.csv"),
                     "--stats_outdir", folder])
    return os.path.join(folder, "trace.csv")


def genie(trace):
    """Rows of genie's bench, by policy and cube."""
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run(["cargo", "bench", "--quiet", "--bench", "placement", "--", "trace", os.path.abspath(trace)],
                          cwd=here, check=True, stdout=subprocess.PIPE, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(row["policy"], row["cube"]): row for row in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--trace")
    parser.add_argument("--jobs", type=int, default=300)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.abspath(args.trace) if args.trace else generated(args, folder)
        with open(trace) as file:
            jobs = sum(not line.startswith("#") for line in file)
        ours = genie(trace)
        print(f"{jobs} jobs; jobs per CPU second\n{'policy':<16} {'cube':>4} {'simulator':>10} {'whole':>8} {'genie':>10} {'verified':>10} {'ratio':>8}")
        for theirs, policy, cube in POLICIES:
            extra = ["--place_policy", theirs, "--rsize", str(cube), "-r", trace, "-n"]
            start, whole = simulator(args, [*extra, "1"]), simulator(args, [*extra, str(args.jobs)])
            net, row = jobs / max(whole - start, 1e-9), ours[(policy, cube)]
            mine, verified = row["jobs_per_cpu_s"], row["verified_jobs_per_cpu_s"]
            print(f"{policy:<16} {cube:>4} {net:>10.2f} {jobs / whole:>8.2f} {mine:>10.1f} {verified:>10.1f} {mine / net:>8.0f}",
                  flush=True)


if __name__ == "__main__":
    main()
