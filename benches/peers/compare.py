#!/usr/bin/env python3
"""Plays one row of the table (or all) with Genie and with each peer, in turns, and says whether the row holds.

  compare.py --row small --rounds 3 --genie ../../target/release/genie --json result.json

Round after round each contestant runs once, so that a change of the machine's mood meets all of them; the medians
over the rounds are compared. A run of whose CPU time the hypervisor gave over 2 % to others is played again, Genie's
or a peer's alike, and the least disturbed of its tries is kept. Needs root. Exit code 0: every row holds; 1: some row does not, or cannot be judged.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import signal
import statistics
import sys
import tempfile

import cases as table
import lab
from contestants import Room

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
STOLEN = 0.02  # share of CPU time; as Genie's own caution
NUMBERS = ("stolen", "p50_us", "min_us", "p99_us", "busbw_bps", "cpu_s_per_gb", "wall_s", "outside_s")
BUSY_LOAD = 0.5
TOO_FAST = 1.02  # of the payload limit; a token bucket's burst explains less
GENIE = "genie"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", choices=[*table.ROWS, "all"], default="all")
    parser.add_argument("--genie", default=str(REPOSITORY / "target" / "release" / "genie"), help="the program to compare")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", help="passed on to `genie run`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, help="timed iterations of each run (default: by case)")
    parser.add_argument("--timeout", type=float, default=90, metavar="S", help="the most one run may take (default 90)")
    parser.add_argument("--tries", type=int, default=4, help="play a disturbed run so often at most (default 4)")
    parser.add_argument("--peers", help="only these, for example raw,gloo,mpich")
    parser.add_argument("--ops", help="only these, for example all_reduce,all_gather")
    parser.add_argument("--ranks", help="only these, for example 2,4")
    parser.add_argument("--sizes", help="only these, in MiB, for example 16")
    parser.add_argument("--waiting", choices=["blocking", "spinning"], default="blocking", help="how plain sockets wait")
    parser.add_argument("--reuse", metavar="FILE", help="take the peers' results from an earlier --json; marked with *")
    parser.add_argument("--json", metavar="FILE", help="write everything there as well")
    return parser.parse_args()


def chosen_cases(given):
    def listed(text, of=str):
        return None if text is None else {of(word) for word in text.split(",")}

    ops, ranks, sizes = listed(given.ops), listed(given.ranks, int), listed(given.sizes, float)
    for case in table.cases_of(given.row):
        if (ops and case.op not in ops) or (ranks and case.ranks not in ranks):
            continue
        if sizes and case.bytes / table.MIB not in sizes:
            continue
        yield table.dataclasses.replace(case, iterations=given.iterations or case.iterations)


def earlier_results(path):
    """The peers' results of an earlier file by measurement, each marked as reused; Genie's are never taken."""
    if path is None:
        return {}
    with open(path) as file:
        measured = {entry["key"]: entry["contestants"] for entry in json.load(file)["cases"]}
    return {key: {name: result | {"reused": True} for name, result in found.items() if name != GENIE} for key, found in measured.items()}


def combine(rounds):
    """The median over the rounds; a contestant that ever failed has failed, and says in which round."""
    for number, result in enumerate(rounds, 1):
        if result["status"] != "ok":
            where = f" (round {number})" if number > 1 else ""
            return {"status": result["status"] + where, "rounds": rounds}
    last = {key: value for key, value in rounds[-1].items() if key not in NUMBERS}
    medians = {key: statistics.median(one[key] for one in rounds) for key in NUMBERS if key in rounds[0]}
    return last | medians | {"rounds": rounds}


def cpu_ticks():
    """(stolen, all) since boot, by proc_stat(5)."""
    ticks = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return ticks[7], sum(ticks)


def least_disturbed(play, tries):
    """Plays until a run was not disturbed, at most `tries` times; gives the least disturbed one."""
    kept = None
    for number in range(1, tries + 1):
        stolen, ticks = cpu_ticks()
        result = play()
        stolen, ticks = (after - before for after, before in zip(cpu_ticks(), (stolen, ticks)))
        result |= {"stolen": stolen / max(ticks, 1), "tries": number}
        if result["status"] != "ok":
            return result
        if kept is None or result["stolen"] < kept["stolen"]:
            kept = result
        if kept["stolen"] <= STOLEN:
            break
    return kept


def measure(case, room, given, known):
    """All contestants on one case, in turns; who fails is not tried again."""
    wanted = [GENIE, *case.peers()]
    if given.peers is not None:
        only = set(given.peers.split(","))
        wanted = [name for name in wanted if name == GENIE or name in only or name.rpartition("-")[0] in only]
    results = {name: known[name] for name in wanted if name in known}
    rounds = {name: [] for name in wanted if name not in results}
    for number in range(1, given.rounds + 1):
        for name, runs in rounds.items():
            if runs and runs[-1]["status"] != "ok":
                continue
            say(f"{case.row}: {case.name()}: round {number} of {given.rounds}: {name}")
            runs.append(least_disturbed(lambda: room.run(name, case), given.tries))
    return results | {name: combine(runs) for name, runs in rounds.items()}


def say(text):
    end, start = ("", "\r\033[K") if sys.stderr.isatty() else ("\n", "")
    print(start + text, end=end, file=sys.stderr, flush=True)


# ---- the table ---------------------------------------------------------------------------------------------


def cell(case, result):
    if result is None:
        return ""
    mark = "*" if result.get("reused") else ""
    if result["status"] != "ok":
        return result["status"].split(":")[0] + mark
    shown = {"share": "busbw_bps", "busbw": "busbw_bps", "p50": "p50_us", "cpu": "cpu_s_per_gb", "outside": "outside_s"}[case.shown]
    number = result.get(shown)
    if number is None:
        return "" if case.shown == "outside" else "unknown"
    if case.shown == "share":
        return f"{number / table.payload_limit(case.rate):.4f}{mark}"
    if case.shown == "busbw":
        return f"{number / 8e9:.3f}{mark}"
    return (f"{number:.1f}" if case.shown == "p50" else f"{number:.3f}") + mark


UNITS = {"share": "share of limit", "busbw": "busbw GB/s", "p50": "p50 us", "cpu": "CPU s/GB", "outside": "s"}


def print_table(entries):
    names = [GENIE]
    for _, results, _, _ in entries:
        names += [name for name in results if name not in names]
    rows = [["row", "case", "unit", *names, "ratio", "wanted", "holds"]]
    for case, results, figure, holds in entries:
        cells = [cell(case, results.get(name)) for name in names]
        verdict = {True: "yes", False: "NO", None: "unknown"}[holds]
        ratio = "" if figure is None else f"{figure:.3f}"
        rows.append([case.row, case.name(), UNITS[case.shown], *cells, ratio, case.wanted.text(), verdict])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print(" | ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
        if number == 0:
            print("-|-".join("-" * width for width in widths))


def print_remarks(entries, room, cautions):
    for caution in [*cautions, *room.notes]:
        print(f"caution: {caution}")
    told = set()
    for case, results, _, _ in entries:
        for name, result in results.items():
            remarks = [result["status"]] if ":" in result["status"] else []
            if case.rate and result.get("busbw_bps", 0) > TOO_FAST * table.payload_limit(case.rate):
                remarks.append("faster than its link can carry: look for the error before you believe it")
            worst = max((one.get("stolen", 0) for one in result.get("rounds", [])), default=0)
            if worst > STOLEN:
                remarks.append(f"the hypervisor took up to {worst:.0%} of the CPU time of a run, whatever was tried")
            remarks += {one["note"] for one in result.get("rounds", []) if "note" in one}
            for line in {f"{name}, {case.name()}: {remark}" for remark in remarks} - told:
                told.add(line)
                print(line)
    if any(result["status"] == "not installed" for _, results, _, _ in entries for result in results.values()):
        print("not installed: run setup.sh for the peers, `cargo build --release` for genie")
    if any(result.get("reused") for _, results, _, _ in entries for result in results.values()):
        print("* reused from an earlier run, not measured beside Genie")


def environment():
    with contextlib.suppress(OSError):
        default = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    facts = {"kernel": platform.release(), "cores": os.cpu_count(), "load": os.getloadavg()[0], "mtu": table.MTU}
    return facts | {"congestion_control": "cubic", "system_congestion_control": default}


def write_json(path, entries, facts, given):
    listed = []
    for case, results, figure, holds in entries:
        entry = {"row": case.row, "case": case.name(), "key": case.key(), "op": case.op, "ranks": case.ranks}
        entry |= {"bytes": case.bytes, "rate_bps": case.rate, "iterations": case.iterations, "wanted": case.wanted.text()}
        listed.append(entry | {"ratio": figure, "holds": holds, "contestants": results})
    settings = {"rounds": given.rounds, "waiting": given.waiting, "timeout_s": given.timeout, "reuse": given.reuse}
    with open(path, "w") as file:
        json.dump({"environment": facts, "settings": settings, "cases": listed}, file, indent=1)
        file.write("\n")


def main():
    given = arguments()
    if os.geteuid():
        sys.exit("compare.py: needs root, for it makes network namespaces")
    signal.signal(signal.SIGTERM, lab.end_by_exception)
    facts, known, entries, measured = environment(), earlier_results(given.reuse), [], {}
    cautions = []
    lab.clean()
    if facts["load"] > BUSY_LOAD:
        cautions.append(f"the machine was busy at the start (load {facts['load']:.1f}): do not trust single figures")
    with tempfile.TemporaryDirectory(prefix="genie-peers-") as folder:
        room = Room(folder, given.timeout, given.waiting, given.genie, given.set)
        try:
            for case in chosen_cases(given):
                if case.key() not in measured:
                    measured[case.key()] = measure(case, room, given, known.get(case.key(), {}))
                results = measured[case.key()]
                entries.append((case, results, *case.wanted.judge(case, results, given.waiting)))
        except KeyboardInterrupt:
            cautions.append("interrupted: the rest was not measured")
        except lab.LabError as error:
            cautions.append(f"stopped: {error}")
        say("")
    print_table(entries)
    print_remarks(entries, room, cautions)
    if given.json:
        write_json(given.json, entries, facts, given)
    sys.exit(0 if entries and all(holds for *_, holds in entries) else 1)


if __name__ == "__main__":
    main()
