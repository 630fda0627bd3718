#!/usr/bin/env python3
"""A data-parallel training job on CPUs (PyTorch DDP over Gloo), timed, and on request recorded by PyTorch's own recorders.

  ddp.py FOLDER RANKS LAB PORT STEPS RECORD WIDTH LAYERS BATCH

Rank R enters the namespace LAB-R. Writes FOLDER/RANK.json with the time of each of STEPS steps (seconds, after three of
warm-up). RECORD > 0: so many further steps are recorded, FOLDER/kineto.RANK.json and FOLDER/host.RANK.json; the timed
steps come first and nothing is recorded meanwhile, so that the recorder's cost is not in them.
"""

import datetime
import json
import os
import sys
import time

import torch
import torch.distributed as dist
from torch.profiler import ExecutionTraceObserver, ProfilerActivity, profile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
import lab  # noqa: E402

WARMUP = 3


def job(width, layers, batch):
    """A perceptron of equal layers: its gradients are layers * width^2 floats, its step 6 * batch times as many flops."""
    torch.manual_seed(1)
    stack = [part for _ in range(layers) for part in (torch.nn.Linear(width, width, bias=False), torch.nn.ReLU())]
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Sequential(*stack))
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    inputs, wanted = torch.randn(batch, width), torch.randn(batch, width)

    def step():
        optimiser.zero_grad(set_to_none=False)
        torch.nn.functional.mse_loss(model(inputs), wanted).backward()
        optimiser.step()

    return step


def timed(step, steps):
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times


def recorded(step, steps, folder, rank):
    observer = ExecutionTraceObserver().register_callback(os.path.join(folder, f"host.{rank}.json"))
    with profile(activities=[ProfilerActivity.CPU], execution_trace_observer=observer) as profiler:
        times = timed(step, steps)
    observer.unregister_callback()
    profiler.export_chrome_trace(os.path.join(folder, f"kineto.{rank}.json"))
    return times


def run_rank(rank, folder, ranks, name, port, steps, record, width, layers, batch):
    lab.enter(f"{name}-{rank}")
    os.environ["GLOO_SOCKET_IFNAME"] = "eth0"
    torch.set_num_threads(1)
    meeting = f"tcp://{lab.NETWORK}.1:{port}"
    dist.init_process_group(
        "gloo", init_method=meeting, rank=rank, world_size=ranks, timeout=datetime.timedelta(seconds=120)
    )
    step = job(width, layers, batch)
    timed(step, WARMUP)
    dist.barrier()
    result = {"rank": rank, "step_s": timed(step, steps)}
    dist.barrier()
    if record:
        result["recorded_step_s"] = recorded(step, record, folder, rank)
    with open(os.path.join(folder, f"{rank}.json"), "w") as file:
        json.dump(result, file)
    dist.barrier()
    dist.destroy_process_group()


def main():
    folder, ranks, name, *numbers = sys.argv[1:]
    ranks, children = int(ranks), []
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run_rank(rank, folder, ranks, name, *map(int, numbers))
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    failed = [rank for rank, child in enumerate(children) if os.waitpid(child, 0)[1]]
    if failed:
        sys.exit(f"ddp.py: ranks {failed} failed")


if __name__ == "__main__":
    main()
