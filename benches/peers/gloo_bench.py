#!/usr/bin/env python3
"""The same operations with PyTorch's Gloo backend on the CPU, float32, one process per namespace, one thread each.

  gloo_bench.py OP BYTES ITERATIONS WARMUP FOLDER RANKS LAB PORT

OP: all_reduce, all_gather, reduce_scatter, all_to_all. BYTES as nccl-tests counts them: the whole vector
(all_gather: of the result). PyTorch is imported once; the ranks are forked from it and then enter LAB-0, LAB-1, ...
Each rank writes FOLDER/RANK.json as bench.h says, and the form of the call that was used.
"""

import datetime
import json
import os
import resource
import sys
import time
import warnings

import torch
import torch.distributed as dist

import lab

JOIN_TIMEOUT = datetime.timedelta(seconds=120)


def operation(name, floats, ranks):
    """The call to time, and its name in torch.distributed."""
    part = floats // ranks
    whole, piece = torch.zeros(floats), torch.zeros(part)
    other = torch.zeros(floats)
    if name == "all_reduce":
        return lambda: dist.all_reduce(whole), "all_reduce"
    if name == "all_gather":
        return lambda: dist.all_gather_into_tensor(whole, piece), "all_gather_into_tensor"
    if name == "reduce_scatter":
        return lambda: dist.reduce_scatter_tensor(piece, whole), "reduce_scatter_tensor"
    if name == "all_to_all":
        return lambda: dist.all_to_all_single(other, whole), "all_to_all_single"
    raise SystemExit(f"gloo_bench: unknown operation {name}")


def run_rank(rank, given):
    lab.enter(f"{given['lab']}-{rank}")
    os.environ["GLOO_SOCKET_IFNAME"] = "eth0"
    torch.set_num_threads(1)
    meeting = f"tcp://{lab.NETWORK}.1:{given['port']}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=given["ranks"], timeout=JOIN_TIMEOUT)
    once, call = operation(given["op"], given["bytes"] // 4, given["ranks"])
    for _ in range(given["warmup"]):
        once()
    dist.barrier()
    before = resource.getrusage(resource.RUSAGE_SELF)
    times = []
    for _ in range(given["iterations"]):
        start = time.perf_counter()
        once()
        times.append((time.perf_counter() - start) * 1e6)
    after = resource.getrusage(resource.RUSAGE_SELF)
    result = {"rank": rank, "ranks": given["ranks"], "call": call, "times_us": times}
    result |= {"user_s": after.ru_utime - before.ru_utime, "sys_s": after.ru_stime - before.ru_stime}
    path = os.path.join(given["folder"], f"{rank}.json")
    with open(path + ".new", "w") as file:
        json.dump(result, file)
    os.rename(path + ".new", path)  # complete as soon as it is there
    dist.barrier()
    dist.destroy_process_group()


def fork_rank(rank, given):
    pid = os.fork()
    if pid:
        return pid
    try:
        run_rank(rank, given)
        sys.stdout.flush()
        os._exit(0)
    except BaseException as error:  # the child must never return into the parent's loop
        print(f"rank {rank}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def main():
    warnings.filterwarnings("ignore")
    if len(sys.argv) != 9:
        sys.exit("usage: gloo_bench.py OP BYTES ITERATIONS WARMUP FOLDER RANKS LAB PORT")
    op, size, iterations, warmup, folder, ranks, lab_name, port = sys.argv[1:]
    given = {"op": op, "bytes": int(size), "iterations": int(iterations), "warmup": int(warmup)}
    given |= {"folder": folder, "ranks": int(ranks), "lab": lab_name, "port": int(port)}
    children = [fork_rank(rank, given) for rank in range(given["ranks"])]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    sys.exit(1 if any(codes) else 0)


if __name__ == "__main__":
    main()
