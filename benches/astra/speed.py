"""The rows of speed: user and system CPU seconds and peak memory of ASTRA-sim and genie, one after the other."""

import json
import os
import subprocess
import tempfile

import chakra
from chakra import Node

SYSTEM = {"scheduling-policy": "LIFO", "endpoint-delay": 10, "active-chunks-per-dimension": 1,
          "collective-optimization": "localBWAware", "local-mem-bw": 1600}


def one_collective(what, count):
    return [Node(0, chakra.COLL, comm_type=what, comm_size=count)]


def training_step(layers, count):
    """Forward passes, then backward ones, each with an all-reduce that overlaps what follows, then an update."""
    nodes = [Node(at, chakra.COMP, micros=120, data=[at - 1] if at else []) for at in range(layers)]
    for layer in range(layers):
        back = layers + 2 * layer
        before = layers - 1 if layer == 0 else back - 2
        nodes.append(Node(back, chakra.COMP, micros=240, data=[before]))
        nodes.append(Node(back + 1, chakra.COLL, data=[back], comm_type=chakra.ALL_REDUCE, comm_size=count))
    reduced = [node.id for node in nodes if node.kind == chakra.COLL]
    return nodes + [Node(3 * layers, chakra.COMP, micros=80, data=reduced)]


# Name, NPUs of each dimension, kind, implementation, chunks, nodes, backends with ASTRA-sim, backends without.
ROWS = [
    ("ring all-reduce, 1 MiB, 1024 NPUs", [1024], "Ring", "ring", 1, one_collective(chakra.ALL_REDUCE, 1 << 20), ["unaware", "aware"]),
    ("64-layer step, ring of 64", [64], "Ring", "ring", 4, training_step(64, 25 << 20), ["unaware", "aware"]),
    ("direct all-to-all, 1 MiB, switch of 256", [256], "Switch", "direct", 1, one_collective(chakra.ALL_TO_ALL, 1 << 20), ["unaware", "aware"]),
    ("hierarchical all-reduce, 1 GiB, 32 x 32 x 16", [32, 32, 16], "Ring", "ring", 1, one_collective(chakra.ALL_REDUCE, 1 << 30), ["unaware"]),
]
# Rows that ASTRA-sim would need hours and all memory for.
GENIE_ONLY = {"hierarchical all-reduce, 1 GiB, 32 x 32 x 16"}


def write_row(folder, dims, kind, implementation, chunks, nodes):
    npus = 1
    for count in dims:
        npus *= count
    def put(name, text):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    lists = {f"{c}-implementation": [implementation] * len(dims)
             for c in ("all-reduce", "all-gather", "reduce-scatter", "all-to-all")}
    put("system.json", json.dumps({**SYSTEM, **lists, "preferred-dataset-splits": chunks}))
    put("memory.json", '{"memory-type": "NO_MEMORY_EXPANSION"}')
    each = lambda value: "[" + ", ".join([str(value)] * len(dims)) + "]"
    put("network.yml", f"topology: {each(kind)}\nnpus_count: {json.dumps(dims)}\n"
                       f"bandwidth: {each(50)}\nlatency: {each(500)}\n")
    chakra.write(os.path.join(folder, "trace.0.et"), nodes)
    for rank in range(1, npus):
        os.link(os.path.join(folder, "trace.0.et"), os.path.join(folder, f"trace.{rank}.et"))
    return ["--workload-configuration=trace", "--system-configuration=system.json",
            "--network-configuration=network.yml", "--remote-memory-configuration=memory.json"]


def cost(command, folder):
    """CPU seconds, peak MB and the largest cycles of a run."""
    with open(os.path.join(folder, "stdout"), "w+") as out:
        child = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        cycles = [int(line.split(" finished, ")[1].split()[0]) for line in out if " finished, " in line]
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, max(cycles, default=None)


def measure(args):
    print(f"{'row':48} {'backend':8} {'ASTRA-sim s':>11} {'MB':>6} {'genie s':>8} {'MB':>6} {'times':>6}  cycles")
    equal = True
    for name, dims, kind, implementation, chunks, nodes, backends in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            flags = write_row(folder, dims, kind, implementation, chunks, nodes)
            for backend in backends:
                ours = min(cost([args.genie, "astra", *flags, "--backend", backend], folder) for _ in range(args.repeat))
                if name in GENIE_ONLY:
                    print(f"{name:48} {backend:8} {'-':>11} {'-':>6} {ours[0]:8.3f} {ours[1]:6.0f} {'-':>6}  {ours[2]}", flush=True)
                    continue
                oracle = args.aware if backend == "aware" else args.unaware
                theirs = min(cost([oracle, *flags], folder) for _ in range(args.repeat))
                equal &= theirs[2] == ours[2]
                same = "equal" if theirs[2] == ours[2] else f"DIFFER: {theirs[2]}"
                print(f"{name:48} {backend:8} {theirs[0]:11.2f} {theirs[1]:6.0f} {ours[0]:8.3f} {ours[1]:6.0f} "
                      f"{theirs[0] / ours[0]:6.1f}  {ours[2]} ({same})", flush=True)
    return 0 if equal else 1
