#!/usr/bin/env python3
"""How true is a replay? A PyTorch DDP job is timed on shaped links and recorded there by PyTorch's own recorders; the
recording is converted, and Genie plays it on links of the same rates.

  replay.py --genie ../../target/release/genie [--rates 1gbit,200mbit] [--ranks 2] [--rounds 3] [--json FILE]

For each rate: the job's step time without any recorder, and the replay's, in turns. The trace that is replayed is
recorded on the first of the rates only, so that the others are predictions. Needs root, and PyTorch as
`../peers/setup.sh` installs it. Exit code 0: every replay is within 10 % of the job; 1: one is not.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))
import lab  # noqa: E402

BOUND = 0.10
PORT = 29611


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genie", default=os.path.join(HERE, "..", "..", "target", "release", "genie"))
    parser.add_argument("--rates", default="1gbit,200mbit")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="timed steps of each run of the job")
    parser.add_argument("--record", type=int, default=4, help="recorded steps")
    parser.add_argument("--width", type=int, default=1536)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--python", default=os.path.expanduser("~/.cache/genie-peers/venv/bin/python"))
    parser.add_argument("--timeout", type=float, default=300, metavar="S", help="the most one run may take")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the recording and the scenarios there")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def run(command, timeout):
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        sys.exit(f"replay.py: {' '.join(command)}\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def train(given, rate, folder, record):
    """The median time of a step, seconds: of each step the slowest rank's."""
    os.makedirs(folder, exist_ok=True)
    with lab.Lab(given.ranks, lab.bits_per_second(rate)) as room:
        numbers = (PORT, given.steps, record, given.width, given.layers, given.batch)
        script = os.path.join(HERE, "ddp.py")
        run([given.python, script, folder, str(given.ranks), room.name, *map(str, numbers)], given.timeout)
    ranks = []
    for rank in range(given.ranks):
        with open(os.path.join(folder, f"{rank}.json")) as file:
            ranks.append(json.load(file))
    slowest = [max(times) for times in zip(*(rank["step_s"] for rank in ranks))]
    return statistics.median(slowest)


def convert(given, folder):
    report = run([given.genie, "workload", "convert", os.path.join(folder, "kineto.{rank}.json"),
                  "--host", os.path.join(folder, "host.{rank}.json"), "-o", os.path.join(folder, "step")], given.timeout)
    print(report.strip())


def scenario(given, rate, folder):
    number, unit = re.fullmatch(r"([0-9.]+)([kmg])bit", rate).groups()
    path = os.path.join(folder, f"replay-{rate}.toml")
    with open(path, "w") as file:
        file.write(f"""name = "replay-{rate}"
[testbed]
fabric = "emulated"
[topology.star]
hosts = {given.ranks}
rate = "{number} {unit.upper() if unit != 'k' else 'k'}bit/s"
[[traffic.trace]]
name = "ddp"
workload = "{os.path.join(folder, 'step')}"
iterations = {max(2, given.steps // given.record)}
warmup = 1
""")
    return path


def replay(given, path, folder):
    """The median time of a step in the replay, and in the model, seconds."""
    text = run([given.genie, "run", path, "--json", "--results", os.path.join(folder, "results")], given.timeout)
    done = json.loads(text)
    row = done["ops"][0]
    return row["time_us"]["p50"] / 1e6 / given.record, done


def measure(given, folder):
    rates = given.rates.split(",")
    train(given, rates[0], folder, given.record)
    convert(given, folder)
    found = []
    for rate in rates:
        path, jobs, replays = scenario(given, rate, folder), [], []
        for _ in range(given.rounds):
            jobs.append(train(given, rate, os.path.join(folder, "again"), 0))
            replays.append(replay(given, path, folder)[0])
        job, played = statistics.median(jobs), statistics.median(replays)
        found.append({"rate": rate, "job_s": jobs, "replay_s": replays, "ratio": played / job})
        print(f"{rate}: job {job * 1e3:.1f} ms/step, replay {played * 1e3:.1f} ms/step, ratio {played / job:.3f}", flush=True)
    return found


def main():
    given = arguments()
    if os.geteuid():
        sys.exit("replay.py: needs root, for it makes network namespaces")
    lab.clean()
    with tempfile.TemporaryDirectory(prefix="genie-replay-") as passing:
        folder = os.path.abspath(given.keep) if given.keep else passing
        os.makedirs(folder, exist_ok=True)
        found = measure(given, folder)
    if given.json:
        with open(given.json, "w") as file:
            json.dump({"bound": BOUND, "rows": found, "settings": vars(given)}, file, indent=1)
            file.write("\n")
    sys.exit(0 if all(abs(row["ratio"] - 1) <= BOUND for row in found) else 1)


if __name__ == "__main__":
    main()
