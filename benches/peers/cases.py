"""What is compared: the rows of the issue's table as cases, what each row wants, and the scenario Genie plays.

A case is one operation at one size on one network. `Wanted.judge` turns the contestants' results into the one
figure that the row is about and says whether it holds; it says None where a figure it needs is missing.
"""

import dataclasses

KIB, MIB, GBIT = 1024, 1024 * 1024, 1e9
MTU = 1500
IP_TCP_HEADERS, ETHERNET_HEADER = 52, 14  # IPv4 20, TCP 20, timestamps 12; what TBF counts of a frame
ROWS = ("1g", "10g", "cpu", "unshaped", "small", "ranks64")
LIBRARIES = ("gloo", "ompi", "ompi-ring", "mpich")
BRING_UP_S, TEAR_DOWN_S = 8, 3


def bus_factor(op, ranks):
    """What nccl-tests multiplies size/time with to get the bus bandwidth; also the payload one rank sends."""
    return (2 if op == "all_reduce" else 1) * (ranks - 1) / ranks


def payload_limit(rate, mtu=MTU):
    """The most payload bits per second that TCP can carry over a link of that rate."""
    return rate * (mtu - IP_TCP_HEADERS) / (mtu + ETHERNET_HEADER)


def size_text(size):
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def value(results, name, key):
    result = results.get(name) or {}
    return result.get(key) if result.get("status") == "ok" else None


def best_library(case, results):
    """The shortest median; None where a library was not tried. One that failed or did not finish is not the best."""
    tried = [name for name in case.peers() if name in LIBRARIES]
    if any(results.get(name, {}).get("status") in (None, "not installed") for name in tried):
        return None
    return min(filter(None, (value(results, name, "p50_us") for name in tried)), default=None)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One demand: `kind` says which figure (see `judge`), `bound` what it is measured against."""

    kind: str
    bound: float

    def text(self):
        return {
            "share": f"at least {self.bound} of the payload limit",
            "gloo": f"at least {self.bound} x Gloo's busbw",
            "cpu": f"at most {self.bound:.2f} CPU s/GB",
            "ping-pong": f"at most {self.bound} x ping-pong",
            "libraries": f"at most {self.bound} x the best library's time",
            "raw": f"less than {self.bound} x plain sockets' time",
            "start-stop": f"start and stop at most {self.bound:.0f} s",
        }[self.kind]

    def judge(self, case, results, waiting):
        """(figure, holds) for the results by contestant; both None where something is missing."""
        if self.kind in ("share", "gloo"):
            against = payload_limit(case.rate) if self.kind == "share" else value(results, "gloo", "busbw_bps")
            return self._compare(value(results, "genie", "busbw_bps"), against, at_least=True)
        if self.kind == "cpu":
            return self._compare(value(results, "genie", "cpu_s_per_gb"), 1.0)
        if self.kind == "start-stop":
            return self._compare(value(results, "genie", "outside_s"), 1.0)
        if self.kind == "libraries":
            reference = best_library(case, results)
        else:
            name = "raw" if self.kind == "raw" else f"ping-pong-{waiting}"
            reference = value(results, name, "p50_us")
        return self._compare(value(results, "genie", "p50_us"), reference)

    def _compare(self, mine, against, at_least=False):
        if mine is None or not against:
            return None, None
        figure = mine / against
        if self.kind == "raw":
            return figure, figure < self.bound
        return figure, figure >= self.bound if at_least else figure <= self.bound


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement; `rate` in bits per second, None where the links are not shaped."""

    row: str
    op: str
    ranks: int
    bytes: int
    rate: float | None
    wanted: Wanted
    shown: str = "share"  # what the table shows of each contestant: share, busbw, p50, cpu or outside
    iterations: int = 5
    warmup: int = 1

    def name(self):
        return f"{self.op} {self.ranks} ranks {size_text(self.bytes)}"

    def key(self):
        """Names the measurement; two demands on the same measurement share it."""
        return f"{self.op}/{self.ranks}/{self.bytes}/{self.rate}"

    def peers(self):
        names = ["raw", "gloo", "ompi", "mpich"]
        if self.op == "all_reduce" and self.bytes >= MIB:
            names.insert(3, "ompi-ring")
        if self.row == "small" and self.ranks == 2:
            names += ["ping-pong-blocking", "ping-pong-spinning"]
        return names


def row_1g():
    for op in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all"):
        for ranks in (2, 4, 8):
            for size in (16 * MIB, 64 * MIB):
                yield Case("1g", op, ranks, size, GBIT, Wanted("share", 0.995))


def row_10g():
    wanted = {2: Wanted("share", 0.95), 4: Wanted("share", 0.85), 8: Wanted("gloo", 2.0)}
    for ranks, demand in wanted.items():
        yield Case("10g", "all_reduce", ranks, 64 * MIB, 10 * GBIT, demand)


def row_cpu():
    yield Case("cpu", "all_reduce", 4, 64 * MIB, GBIT, Wanted("cpu", 0.20), shown="cpu")


def row_unshaped():
    for ranks in (2, 4, 8):
        yield Case("unshaped", "all_reduce", ranks, 64 * MIB, None, Wanted("gloo", 2.0), shown="busbw")


def row_small():
    for ranks in (2, 4, 8):
        wanted = Wanted("ping-pong", 1.5) if ranks == 2 else Wanted("libraries", 1.0)
        for size in (8, KIB):
            yield Case("small", "all_reduce", ranks, size, None, wanted, shown="p50", iterations=200, warmup=20)


def row_ranks64():
    for wanted, shown in ((Wanted("raw", 1.0), "p50"), (Wanted("start-stop", BRING_UP_S + TEAR_DOWN_S), "outside")):
        yield Case("ranks64", "all_reduce", 64, MIB, None, wanted, shown=shown, iterations=10, warmup=1)


def cases_of(row):
    rows = {"1g": row_1g, "10g": row_10g, "cpu": row_cpu, "unshaped": row_unshaped, "small": row_small, "ranks64": row_ranks64}
    return [case for name in (ROWS if row == "all" else [row]) for case in rows[name]()]


def scenario(case):
    """The scenario file that makes Genie play the case. The only place that knows Genie's scenario language."""
    rate = f"{case.rate / GBIT:g} Gbit/s" if case.rate else "unlimited"
    algorithm = "direct" if case.op == "all_to_all" else "ring"
    # For small messages and many ranks, Genie may choose as the libraries do: the demand is on the time.
    chosen = "" if case.row in ("small", "ranks64") else f'algorithm = "{algorithm}"\n'
    return f"""\
name = "peers-{case.row}"

[testbed]
fabric = "emulated"
transport = "tcp"

[topology.star]
hosts = {case.ranks}
rate = "{rate}"

[[traffic.collective]]
op = "{case.op.replace('_', '-')}"
{chosen}sizes = ["{size_text(case.bytes)}"]
iterations = {case.iterations}
"""
