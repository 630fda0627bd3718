#!/usr/bin/env python3
"""Times `genie runs` over 10,000 stored runs and `genie diff` of two runs of 100,000 records.

    cargo build --release && python3 benches/store/measure.py [FOLDER]

Plays scenarios/hello.toml once (loopback, no privileges) and multiplies what it stored. FOLDER (made if
missing, a temporary one if not given) wants 400 MB. Limits: 100 ms and 300 ms; exit code 1 when one is missed.
"""

import csv
import datetime
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENIE = ROOT / "target/release/genie"
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
random.seed(1)


def genie(*arguments):
    return subprocess.run([GENIE, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def template(folder):
    """A run's folder, played now."""
    store = folder / "template"
    genie("run", ROOT / "scenarios/hello.toml", "--quiet", "--results", store)
    return Path(json.loads(genie("runs", "--json", "--results", store))[-1]["path"])


def many(folder, run, count):
    """A store of `count` runs, one a minute."""
    store, manifest = folder / "many", json.loads((run / "manifest.json").read_text())
    for number in range(count):
        at = datetime.datetime.fromtimestamp(1_700_000_000 + 60 * number, datetime.timezone.utc)
        manifest["run_id"] = at.strftime("%Y%m%d-%H%M%S-") + "".join(random.choices(ALPHABET, k=5))
        manifest["started_at"] = at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        place = store / manifest["run_id"]
        place.mkdir(parents=True, exist_ok=True)
        (place / "manifest.json").write_text(json.dumps(manifest))
    return store


def large(store, run, name, ops, iterations, factor):
    """A run of `ops` rows, each with so many iterations of all ranks."""
    place = store / name
    place.mkdir(parents=True, exist_ok=True)
    manifest = json.loads((run / "manifest.json").read_text())
    ranks, plan = len(manifest["plan"]["ranks"]), manifest["plan"]
    manifest["run_id"] = name
    manifest.pop("digests", None), manifest.pop("manifest_sha256", None)
    first = plan["ops"][0]
    plan["ops"] = [
        {**first, "iterations": iterations, "op": {**first["op"], "bytes": 1024 * (op + 1)}} for op in range(ops)
    ]
    (place / "manifest.json").write_text(json.dumps(manifest, indent=2))
    for other in ("ranks.csv", "links.csv", "events.jsonl", "scenario.toml"):
        (place / other).write_bytes((run / other).read_bytes())
    row = next(csv.DictReader((run / "ops.csv").open()))
    with (place / "ops.csv").open("w") as rows, (place / "iterations.csv").open("w") as lines:
        table = csv.DictWriter(rows, row.keys(), lineterminator="\n")
        table.writeheader()
        lines.write("op,iteration,rank,start_ns,end_ns,time_us\n")
        for op in range(ops):
            table.writerow({**row, "index": op, "bytes": 1024 * (op + 1), "iterations": iterations})
            clock = 1_000_000
            for iteration in range(iterations):
                took = int(14e6 * factor * (1 + 0.01 * random.gauss(0, 1)))
                for rank in range(ranks):
                    lines.write(f"{op},{iteration},{rank},{clock},{clock + took - rank},{(took - rank) / 1e3}\n")
                clock += took
    return ops * iterations * ranks


def best(*arguments):
    """Milliseconds of the fastest of five calls."""
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        genie(*arguments)
        taken.append((time.perf_counter() - begun) * 1e3)
    return min(taken)


def main(folder):
    run, missed = template(folder), False
    ranks = len(json.loads((run / "manifest.json").read_text())["plan"]["ranks"])
    store = many(folder, run, 10_000)
    begun = time.perf_counter()
    genie("runs", "--results", store)
    print(f"runs, index made anew: {(time.perf_counter() - begun) * 1e3:.0f} ms")
    took = best("runs", "--results", store)
    print(f"runs, 10,000 stored: {took:.0f} ms (limit 100)")
    missed |= took > 100
    for ops in (1, 100, 1000):
        store, iterations = folder / f"large-{ops}", 100_000 // ranks // ops
        names = "20261122-100000-aaaa0", "20261122-100001-aaaa1"
        records = [large(store, run, name, ops, iterations, 1 + 0.05 * i) for i, name in enumerate(names)]
        took = best("diff", *names, "--results", store)
        print(f"diff, {ops} rows, {records[0]} records each: {took:.0f} ms (limit 300)")
        missed |= took > 300
    return int(missed)


if len(sys.argv) > 1:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
with tempfile.TemporaryDirectory() as temporary:
    sys.exit(main(Path(temporary)))
