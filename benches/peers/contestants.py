"""How each contestant is started on a case, kept within its time, and read: plain sockets, Gloo, Open MPI, MPICH, Genie.

Every run gets a fresh network, a fresh folder and a deadline. A result is a dictionary with `status` ("ok", or why
not) and, where it is ok, p50_us, min_us, p99_us, busbw_bps, cpu_s_per_gb and wall_s of that one run.
"""

import json
import math
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

import lab as network
from cases import bus_factor, scenario

HERE = pathlib.Path(__file__).resolve().parent
NOT_INSTALLED = "not installed"
RAW_PORT, GLOO_PORT = 29000, 29500
PATIENCE_S = 5.0
LEAVE_S = 3.0  # how long a peer that has written all its results may take to exit
COMPILERS = {"raw": ("gcc", "raw.c"), "mpi-ompi": ("mpicc.openmpi", "mpi_bench.c"), "mpi-mpich": ("mpicc.mpich", "mpi_bench.c")}


class Room:
    """What all runs share: the folder of built programs, the deadline, the waiting mode, and where Genie is."""

    def __init__(self, folder, timeout_s, waiting, genie, genie_settings=()):
        self.folder, self.timeout_s, self.waiting = pathlib.Path(folder), timeout_s, waiting
        self.genie, self.genie_settings = shutil.which(genie), tuple(genie_settings)
        peers = pathlib.Path(os.environ.get("GENIE_PEERS_DIR") or pathlib.Path.home() / ".cache" / "genie-peers")
        self.python = peers / "venv" / "bin" / "python"
        self.notes = []
        for name, (compiler, source) in COMPILERS.items():
            self._build(name, compiler, source)

    def _build(self, name, compiler, source):
        if not shutil.which(compiler):
            return
        command = [compiler, "-O3", "-march=native", "-Wall", "-o", str(self.folder / name), str(HERE / source)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            self.notes.append(f"{compiler} cannot build {source}: {last_line(done.stderr)}")

    def program(self, name):
        path = self.folder / name
        return str(path) if path.exists() else None

    def run(self, name, case):
        """One run of one contestant."""
        if name == "genie":
            return run_genie(self, case)
        commands = {"raw": raw, "gloo": gloo, "ompi": open_mpi, "ompi-ring": open_mpi_ring, "mpich": mpich}
        commands |= {"ping-pong-blocking": ping_pong_blocking, "ping-pong-spinning": ping_pong_spinning}
        with network.Lab(case.ranks, case.rate) as lab, tempfile.TemporaryDirectory() as folder:
            started = commands[name](self, case, lab, folder)
            if started is None:
                return {"status": NOT_INSTALLED}
            return run_in_lab(self, case, lab, folder, *started)


# ---- the peers: what to start, and with which environment --------------------------------------------------


def counts(op, case, folder):
    return [op, str(case.bytes), str(case.iterations), str(case.warmup), folder]


def raw(room, case, lab, folder, op=None, waiting=None):
    program = room.program("raw")
    if op is None:
        op = "all_reduce_small" if case.row == "small" else case.op
    mode = waiting or room.waiting
    ranks = range(case.ranks)
    arguments = [[str(rank), str(case.ranks), network.NETWORK, str(RAW_PORT), mode] for rank in ranks]
    commands = [lab.inside(lab.host(rank), [program, *counts(op, case, folder), *arguments[rank]]) for rank in ranks]
    return (commands, {}) if program else None


def ping_pong_blocking(room, case, lab, folder):
    return raw(room, case, lab, folder, "ping_pong", "blocking")


def ping_pong_spinning(room, case, lab, folder):
    return raw(room, case, lab, folder, "ping_pong", "spinning")


def gloo(room, case, lab, folder):
    if not room.python.exists():
        return None
    script = [str(room.python), str(HERE / "gloo_bench.py"), *counts(case.op, case, folder)]
    return [[*script, str(case.ranks), lab.name, str(GLOO_PORT)]], {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}


def open_mpi(room, case, lab, folder, more=()):
    program = room.program("mpi-ompi")
    hosts = ",".join(f"{lab.address(rank)}:1" for rank in range(case.ranks))
    subnet = f"{network.NETWORK}.0/24"
    settings = {"pml": "ob1", "btl": "tcp,self", "btl_tcp_if_include": subnet, "oob_tcp_if_include": subnet}
    settings |= {"plm_rsh_agent": str(HERE / "agent.sh"), "plm_rsh_no_tree_spawn": "1"}
    # A library that spins starves the other ranks, and the kernel, where no core is left over.
    settings |= {"mpi_yield_when_idle": "1" if case.ranks >= (os.cpu_count() or 1) else "0"}
    command = ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "--leave-session-attached"]
    for key, value in [*settings.items(), *more]:
        command += ["--mca", key, value]
    command += ["--host", hosts, "-np", str(case.ranks), program, *counts(case.op, case, folder)]
    installed = program and shutil.which("mpirun.openmpi")
    return ([lab.inside(lab.switch, command)], {}) if installed else None


def open_mpi_ring(room, case, lab, folder):
    ring = [("coll_tuned_use_dynamic_rules", "1"), ("coll_tuned_allreduce_algorithm", "4")]
    return open_mpi(room, case, lab, folder, ring)


def mpich(room, case, lab, folder):
    program = room.program("mpi-mpich")
    hosts = ",".join(lab.address(rank) for rank in range(case.ranks))
    command = ["mpirun.mpich", "-launcher", "ssh", "-launcher-exec", str(HERE / "agent.sh")]
    command += ["-localhost", network.SWITCH_ADDRESS, "-hosts", hosts, "-ppn", "1", "-n", str(case.ranks)]
    installed = program and shutil.which("mpirun.mpich")
    environment = {"UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "eth0"}
    return ([lab.inside(lab.switch, [*command, program, *counts(case.op, case, folder)])], environment) if installed else None


# ---- running within a deadline -----------------------------------------------------------------------------


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip(" -=\t")]
    return lines[-1][:160] if lines else "no message"


def signal_groups(processes, sign):
    for process in processes:
        if process.poll() is None:
            try:
                os.killpg(process.pid, sign)
            except ProcessLookupError:
                pass


def end_groups(processes):
    """Ends the process groups that were started here, politely first."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        signal_groups(processes, sign)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and any(process.poll() is None for process in processes):
            time.sleep(0.02)


def wait_all(processes, timeout_s, finished):
    """The exit codes; None where the time ran out; returns early when one fails, for the others would hang."""
    deadline, leaving = time.monotonic() + timeout_s, False
    while time.monotonic() < deadline:
        codes = [process.poll() for process in processes]
        if None not in codes or any(codes):
            return codes
        if not leaving and finished():
            deadline, leaving = time.monotonic() + LEAVE_S, True
        time.sleep(0.01)
    return None


def run_bounded(commands, environment, timeout_s, stdout, stderr, finished=lambda: False):
    """Starts each command in its own process group and waits; nothing of it is left when this returns."""
    processes = []
    try:
        for command in commands:
            options = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": stderr, "start_new_session": True}
            processes.append(subprocess.Popen(command, env=os.environ | environment, **options))
        return wait_all(processes, timeout_s, finished)
    finally:
        end_groups(processes)


def run_in_lab(room, case, lab, folder, commands, environment):
    environment = environment | {"GENIE_PEERS_LAB": lab.name}
    files = [pathlib.Path(folder, f"{rank}.json") for rank in range(case.ranks)]

    def finished():
        return all(file.exists() for file in files)

    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        try:
            codes = run_bounded(commands, environment, room.timeout_s, log, log, finished)
        finally:
            lab.end_processes()
        wall_s = time.monotonic() - start
        log.seek(0)
        message = last_line(log.read())
    if finished():
        result = summary(case, [json.loads(file.read_text()) for file in files], wall_s)
        # All its iterations are measured, but it hung or failed on its way out (MPICH over UCX does at times).
        return result if codes and not any(codes) else result | {"note": "did not exit properly after its last iteration"}
    if codes is None:
        return {"status": f"did not finish in {room.timeout_s:g} s"}
    return {"status": f"failed: {message}"}


def summary(case, ranks, wall_s):
    """As nccl-tests does, the time of an iteration is the mean over the ranks."""
    times = sorted(statistics.mean(one) for one in zip(*(rank["times_us"] for rank in ranks)))
    p50 = statistics.median(times)
    factor = bus_factor(case.op, case.ranks)
    sent_gb = factor * case.bytes * case.ranks * len(times) / 1e9
    cpu_s = sum(rank["user_s"] + rank["sys_s"] for rank in ranks)
    result = {"status": "ok", "p50_us": p50, "min_us": times[0], "p99_us": times[math.ceil(0.99 * len(times)) - 1]}
    result |= {"busbw_bps": factor * case.bytes * 8 / (p50 / 1e6), "cpu_s_per_gb": cpu_s / sent_gb, "wall_s": wall_s}
    if "call" in ranks[0]:
        result["call"] = ranks[0]["call"]
    return result


# ---- Genie -------------------------------------------------------------------------------------------------


def run_genie(room, case):
    if room.genie is None:
        return {"status": NOT_INSTALLED}
    with tempfile.TemporaryDirectory() as folder:
        file, output, log = (pathlib.Path(folder, name) for name in ("scenario.toml", "out.json", "log"))
        file.write_text(scenario(case))
        settings = [word for setting in room.genie_settings for word in ("--set", setting)]
        command = [room.genie, "run", str(file), *settings, "--json", "--results", str(pathlib.Path(folder, "results"))]
        start = time.monotonic()
        with output.open("w") as out, log.open("w") as err:
            codes = run_bounded([command], {}, room.timeout_s, out, err)
        wall_s = time.monotonic() - start
        if codes is None:
            return {"status": f"did not finish in {room.timeout_s:g} s"}
        if any(codes):
            return {"status": f"failed: exit code {codes[0]}: {last_line(log.read_text(errors='replace'))}"}
        return read_genie(case, output.read_text(), wall_s)


def read_genie(case, text, wall_s):
    try:
        answer = json.loads(text)
        played = [op for op in answer["ops"] if op["op"] == case.op.replace("_", "-") and op["bytes"] == case.bytes]
        if answer["status"] != "completed" or not played:
            return {"status": f"failed: status {answer['status']}, {len(played)} matching operations"}
        op, times = played[0], played[0]["time_us"]
        result = {"status": "ok", "p50_us": times["p50"], "min_us": times["min"], "p99_us": times["p99"]}
        # Reckoned from the median like everyone's; what Genie says of itself is kept beside it.
        result["busbw_bps"] = bus_factor(case.op, case.ranks) * case.bytes * 8 / (times["p50"] / 1e6)
        result |= {"cpu_s_per_gb": op["cpu_s_per_gb"], "wall_s": wall_s, "cautions": answer["cautions"]}
        result["outside_s"] = max(0.0, wall_s - times["mean"] * op["iterations"] / 1e6)
        result |= {"reported_busbw_gbps": op["busbw_gbps"], "reported_link_share": op["link_share"]}
        return result | {"algorithm": op["algorithm"], "run_id": answer["run_id"]}
    except (ValueError, KeyError, TypeError) as error:
        return {"status": f"failed: its JSON is not as promised ({type(error).__name__}: {error})"}
