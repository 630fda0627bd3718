#!/usr/bin/env python3
"""The network that the peers run on: one namespace per host, each with one cable to a switch, all taken down again.

Host i is the namespace NAME-i with the interface eth0 and the address 10.88.0.(i+1); the switch is NAME-sw with a
bridge, 10.88.0.254. Shaping is a token bucket (TBF) at both ends of each cable. By hand, until Ctrl-C:
`lab.py up --hosts 4 --rate 1gbit`; `lab.py clean` removes what a killed run left behind.
"""

import argparse
import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time

PREFIX = "gp"
NETWORK = "10.88.0"
SWITCH_ADDRESS = f"{NETWORK}.254"
MAX_HOSTS = 64
ALLOWED = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
CLONE_NEWNET = 0x40000000
BURST_SECONDS, BURST_MIN, BURST_MAX = 0.001, 32 * 1024, 2 * 1024 * 1024
QUEUE_SECONDS, QUEUE_MIN = 0.010, 1024 * 1024
UNITS = {"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


class LabError(Exception):
    """The network could not be made; the message says what the kernel or `ip` answered."""


def bits_per_second(text):
    """The rate of a text such as `1gbit`; None for `none`."""
    if text in (None, "none", "unlimited"):
        return None
    match = re.fullmatch(r"([0-9.]+)\s*([kmg]?bit)", text.strip().lower())
    if not match:
        raise LabError(f"not a rate: {text} (wanted for example 1gbit, 100mbit or none)")
    return float(match.group(1)) * UNITS[match.group(2)]


def tool(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def write(path, text):
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise LabError(f"{path}: {error.strerror} (writing {text})") from error


def namespaces():
    names = (line.split()[0] for line in tool("ip", "netns", "list").splitlines() if line.strip())
    return [name for name in names if re.fullmatch(rf"{PREFIX}-\d+-(\d+|sw)", name)]


def pids_in(namespace):
    done = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True)
    return [int(pid) for pid in done.stdout.split()]


def enter(namespace):
    """Moves the calling process into the namespace (for children made by fork)."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET):
            raise LabError(f"cannot enter {namespace}: {os.strerror(ctypes.get_errno())}")


def hardware_address(number):
    return f"02:67:70:00:00:{number:02x}"


def shaping(interface, rate):
    """The `tc` line for one end of a cable: 1 ms of burst, 10 ms of queue, both within limits."""
    if rate is None:
        return ""
    burst = int(min(max(rate / 8 * BURST_SECONDS, BURST_MIN), BURST_MAX))
    queue = int(max(rate / 8 * QUEUE_SECONDS, QUEUE_MIN))
    return f"qdisc replace dev {interface} root tbf rate {int(rate)}bit burst {burst} limit {queue}\n"


@contextlib.contextmanager
def allowed_in_namespaces(congestion_control):
    """A namespace may only pick a congestion control that the machine allows to all; allows it for a moment."""
    with open(ALLOWED) as file:
        before = file.read().split()
    if congestion_control in before:
        yield
        return
    write(ALLOWED, " ".join([*before, congestion_control]))
    try:
        yield
    finally:
        write(ALLOWED, " ".join(before))


class Lab:
    """A context manager: `with Lab(hosts=4, rate=1e9) as lab: ...`; rate in bits per second, None for no shaping."""

    def __init__(self, hosts, rate=None, mtu=1500, congestion_control="cubic"):
        if not 2 <= hosts <= MAX_HOSTS:
            raise LabError(f"2 to {MAX_HOSTS} hosts, not {hosts}")
        self.hosts, self.rate, self.mtu, self.congestion_control = hosts, rate, mtu, congestion_control
        self.name = f"{PREFIX}-{os.getpid()}"
        self.switch = f"{self.name}-sw"

    def host(self, index):
        return f"{self.name}-{index}"

    def address(self, index):
        return f"{NETWORK}.{index + 1}"

    def inside(self, namespace, command):
        return ["nsenter", f"--net=/run/netns/{namespace}", *command]

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_):
        self._remove()

    def _build(self):
        everyone = [self.switch, *map(self.host, range(self.hosts))]
        tool("ip", "-batch", "-", text="".join(f"netns add {name}\n" for name in everyone))
        settings = ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"]
        # No run may inherit what an earlier one learned about the path.
        settings += [f"net.ipv4.tcp_congestion_control={self.congestion_control}", "net.ipv4.tcp_no_metrics_save=1"]
        with allowed_in_namespaces(self.congestion_control):
            for name in everyone:
                tool(*self.inside(name, ["sysctl", "-q", "-w", *settings]))
        self._build_switch()
        for index in range(self.hosts):
            lines = f"link set lo up\nlink set eth0 up\naddr add {self.address(index)}/24 dev eth0\n"
            tool("ip", "-n", self.host(index), "-batch", "-", text=lines + self._neighbours("eth0", index))
            if self.rate:
                tool("tc", "-n", self.host(index), "-batch", "-", text=shaping("eth0", self.rate))

    def _build_switch(self):
        lines = f"link set lo up\nlink add br0 address {hardware_address(254)} type bridge\nlink set br0 up\n"
        lines += f"addr add {SWITCH_ADDRESS}/24 dev br0\n"
        for index in range(self.hosts):
            lines += f"link add port{index} mtu {self.mtu} type veth peer name eth0 mtu {self.mtu} "
            lines += f"address {hardware_address(index + 1)} netns {self.host(index)}\n"
            lines += f"link set port{index} master br0 up\n"
        tool("ip", "-n", self.switch, "-batch", "-", text=lines + self._neighbours("br0"))
        ports = "".join(shaping(f"port{index}", self.rate) for index in range(self.hosts))
        if ports:
            tool("tc", "-n", self.switch, "-batch", "-", text=ports)

    def _neighbours(self, interface, without=None):
        """Fixed neighbour entries: 64 hosts that all talk would overflow the kernel's one table of learned ones."""
        known = [index + 1 for index in range(self.hosts) if index != without] + ([] if without is None else [254])
        return "".join(f"neigh replace {NETWORK}.{n} lladdr {hardware_address(n)} dev {interface} nud permanent\n" for n in known)

    def end_processes(self, patience_s=3.0):
        """Ends whatever still runs in the namespaces of this lab, and only there."""
        mine = [self.switch, *map(self.host, range(self.hosts))]
        for sign in (signal.SIGTERM, signal.SIGKILL):
            deadline, told = time.monotonic() + patience_s, set()
            while time.monotonic() < deadline:
                # Listed anew each time: a launcher may start one more while it is being ended.
                pids = {pid for name in mine for pid in pids_in(name)}
                if not pids:
                    return
                for pid in pids - told:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, sign)
                told |= pids
                time.sleep(0.05)

    def _remove(self):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
        try:
            present = [name for name in namespaces() if name.startswith(self.name + "-")]
            if present:
                self.end_processes()
                tool("ip", "-batch", "-", text="".join(f"netns del {name}\n" for name in present))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def clean():
    """Removes the namespaces of labs whose process is gone."""
    gone = [name for name in namespaces() if not os.path.exists(f"/proc/{name.split('-')[1]}")]
    for name in gone:
        tool("ip", "netns", "del", name)
    return gone


def end_by_exception(*_):
    """A signal handler: SIGTERM leaves through the same `finally` and `with` blocks as Ctrl-C."""
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description="Makes a network of namespaces until Ctrl-C.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up")
    up.add_argument("--hosts", type=int, default=4)
    up.add_argument("--rate", default="none", help="for example 1gbit; none for no shaping")
    up.add_argument("--mtu", type=int, default=1500)
    commands.add_parser("clean")
    given = parser.parse_args()
    if given.command == "clean":
        print("removed:", " ".join(clean()) or "nothing")
        return
    signal.signal(signal.SIGTERM, end_by_exception)
    try:
        with Lab(given.hosts, bits_per_second(given.rate), given.mtu) as lab:
            print(f"up: {lab.host(0)} to {lab.host(given.hosts - 1)}, switch {lab.switch}; Ctrl-C takes it down", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("down")
    except LabError as error:
        sys.exit(f"lab.py: {error}")


if __name__ == "__main__":
    main()
