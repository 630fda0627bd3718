#!/usr/bin/env python3
"""Does the store survive? Runs are killed (SIGKILL) at random moments, every file of a run has bits flipped and is cut
short, and several writers work at once. After each blow the store must list every run, name what is damaged and nothing
else, and no command may panic.

    cargo build --release && python3 benches/store/crash.py [--genie target/release/genie] [--kills 40] [--flips 8] [--seed 1]

Exit code 0: it survives. Needs no privileges; takes about three minutes.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCENARIO = """\
name = "crash"

[testbed]
fabric = "host"
ranks = 2

[[traffic.collective]]
op = "all-reduce"
algorithm = "ring"
iterations = 40
sizes = { from = "1 KiB", to = "256 KiB", factor = 2 }
"""

failures = []


def fail(text):
    failures.append(text)
    print("FAILED:", text)


class Store:
    def __init__(self, genie, folder):
        self.genie, self.folder = genie, Path(folder)
        self.results = self.folder / "results"
        (self.folder / "crash.toml").write_text(SCENARIO)

    def command(self, *words, allowed=(0, 2)):
        done = subprocess.run([self.genie, *words], cwd=self.folder, capture_output=True, text=True, timeout=120)
        if done.returncode not in allowed or "panicked" in done.stderr:
            fail(f"genie {' '.join(words)}: exit code {done.returncode}: {done.stderr[-300:]}")
        return done

    def runs(self, *words):
        return {run["run_id"]: run for run in json.loads(self.command("runs", "--json", *words, allowed=(0,)).stdout)}

    def start(self):
        words = [self.genie, "run", "crash.toml", "--quiet"]
        return subprocess.Popen(words, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def look(self, run):
        """Every command that reads a run."""
        self.command("show", run)
        self.command("show", run, "--json")
        self.command("show", run, "--timeline", "t.json")
        self.command("diff", run, run)
        self.command("report", run, "-o", "r.html")
        self.command("export", run, "-o", f"{random.random()}.zip")
        self.command("export", run, "--format", "parquet", "-o", f"{random.random()}")


def kills(store, count):
    whole = store.start()
    began = time.monotonic()
    whole.wait()
    length = time.monotonic() - began
    sound = set(store.runs("--verify"))
    states = {}
    for _ in range(count):
        victim = store.start()
        time.sleep(random.uniform(0, length * 1.05))
        victim.kill()
        victim.wait()
        found = store.runs("--verify")
        new = set(found) - sound
        if len(new) > 1:
            fail(f"one run left {new}")
        for run in new:
            state = found[run]["status"]
            states[state] = states.get(state, 0) + 1
            if state not in ("interrupted", "completed"):
                fail(f"a killed run is {state}: {found[run]['damage']}")
            if store.command("show", run).returncode != 0:
                fail(f"{run} cannot be shown")
        for run in sound:
            if found.get(run, {}).get("status") not in ("completed", "interrupted"):
                fail(f"{run} was lost or damaged by a later run's end: {found.get(run)}")
        sound |= new
    print(f"{count} kills over {length:.2f} s of a run: {states}; {count - sum(states.values())} left no run yet")


def blows(store, flips):
    good = max(run for run, found in store.runs().items() if found["status"] == "completed")
    source = store.results / good
    count = named = 0
    for file in sorted(source.iterdir()):
        for number in range(flips):
            trial = Store(store.genie, tempfile.mkdtemp(dir=store.folder))
            shutil.copytree(source, trial.results / good)
            target = trial.results / good / file.name
            data = bytearray(target.read_bytes())
            if number % 4 == 3 and data:
                data = data[: random.randrange(len(data))]
            elif number % 4 == 2:
                target.unlink()
                data = None
            elif data:
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            if data is not None:
                target.write_bytes(data)
            found = trial.runs("--verify")
            count += 1
            if good not in found:
                fail(f"{file.name}: the run is not listed")
            elif found[good]["status"] != "damaged":
                fail(f"{file.name} changed and --verify says {found[good]['status']}")
            elif file.name not in found[good]["damage"]:
                fail(f"{file.name} changed and --verify names {found[good]['damage']}")
            else:
                named += 1
            trial.look(good)
            shutil.rmtree(trial.folder)
    print(f"{count} damaged files: {named} named")


def together(store, writers):
    before = len(store.runs())
    running = [store.start() for _ in range(writers)]
    while any(run.poll() is None for run in running):
        store.command("runs", allowed=(0,))
    found = store.runs("--verify")
    bad = [run for run, what in found.items() if what["status"] == "damaged"]
    if len(found) != before + writers or bad:
        fail(f"{writers} writers at once left {len(found) - before} runs, damaged {bad}")
    print(f"{writers} writers at once: {len(found) - before} runs")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--genie", default="target/release/genie")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--flips", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(str(Path(options.genie).resolve()), folder)
        kills(store, options.kills)
        blows(store, options.flips)
        together(store, 6)
    print("SURVIVES" if not failures else f"{len(failures)} FAILURES")
    return 1 if failures else 0


sys.exit(main())
