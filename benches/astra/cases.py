"""Random inputs of ASTRA-sim's analytical backends: valid as far as its rules go, over every key and kind of node."""

import json
import os

import chakra
from chakra import Node

INVALID = 0
KINDS = ["Ring", "FullyConnected", "Switch"]
COLLECTIVES = {"all-reduce": chakra.ALL_REDUCE, "all-gather": chakra.ALL_GATHER,
               "reduce-scatter": chakra.REDUCE_SCATTER, "all-to-all": chakra.ALL_TO_ALL}


def chance(rng, share):
    return rng.random() < share


def size(rng):
    """Bytes: powers of two, odd ones, tiny ones."""
    return rng.choice([
        lambda: 1 << rng.randrange(0, 25),
        lambda: rng.randrange(1, 4096),
        lambda: rng.randrange(1, 1 << 24),
        lambda: rng.randrange(1, 64) << 20,
        lambda: rng.randrange(1, 1 << 33),
    ])()


def decimal(rng, low, high):
    value = rng.uniform(low, high)
    return rng.choice([round(value), round(value, 1), round(value, 3), value])


def network(rng, aware):
    dims = 1 if aware else rng.choice([1, 1, 2, 2, 2, 3, 4])
    most = 160 if chance(rng, 0.03) else 48
    while True:
        counts = [rng.choice([2, 2, 3, 4, 4, 5, 6, 8, 8, 12, 16] + [64, 100, 128] * (most > 48)) for _ in range(dims)]
        npus = 1
        for count in counts:
            npus *= count
        kinds = [rng.choice(KINDS) for _ in range(dims)]
        if npus <= most and not (aware and kinds == ["Ring"] and counts == [2]):
            break
    return {
        "topology": kinds,
        "npus_count": counts,
        "bandwidth": [max(0.001, decimal(rng, 0.5, 900)) for _ in counts],
        "latency": [max(0, decimal(rng, 0, rng.choice([2, 50, 3000]))) for _ in counts],
    }


def power_of_two(n):
    return n & (n - 1) == 0


def implementation(rng, collective, count, npus, lone):
    """One of those that can carry the collective out among so many."""
    window = rng.randrange(1, 9)
    choices = ["ring", "ring", "direct", f"direct{window}"]
    if power_of_two(count) and collective != "all-to-all":
        choices += ["halvingDoubling"] * 2
    if power_of_two(count) and collective == "all-reduce":
        choices += ["doubleBinaryTree"] * 2
    if lone:
        choices += ["oneRing", "oneDirect", f"oneDirect{window}"]
        if power_of_two(npus) and collective != "all-to-all":
            choices += ["oneHalvingDoubling"]
    return rng.choice(choices)


def implementations(rng, collective, counts, npus):
    used = counts if chance(rng, 0.93) else counts[:rng.randrange(1, len(counts) + 1)]
    first = implementation(rng, collective, counts[0], npus, True)
    if first.startswith("one"):
        return [first]
    return [first] + [implementation(rng, collective, count, npus, False) for count in used[1:]]


def system(rng, net):
    counts = net["npus_count"]
    npus = 1
    for count in counts:
        npus *= count
    out = {
        "scheduling-policy": rng.choice(["LIFO", "FIFO", "EXPLICIT"]),
        "collective-optimization": rng.choice(["baseline", "localBWAware"]),
        "preferred-dataset-splits": rng.choice([1, 1, 2, 3, 4, 5, 8, 16, rng.randrange(1, 40)]),
        "endpoint-delay": rng.choice([1, 10, 10, rng.randrange(1, 3000)]),
        "local-mem-bw": rng.choice([1600, 50, decimal(rng, 0.5, 4000) or 1]),
    }
    if chance(rng, 0.7):
        out["active-chunks-per-dimension"] = rng.choice([1, 1, 2, 3, 4, 8])
    if chance(rng, 0.04):
        out["endpoint-delay"] = 0
    if chance(rng, 0.03):
        del out["endpoint-delay"]
    if chance(rng, 0.12):
        out.update({"model-shared-bus": 1, "L": rng.randrange(0, 200), "o": rng.randrange(0, 50),
                    "g": rng.randrange(0, 50), "G": round(rng.uniform(0, 0.02), 5)})
        if chance(rng, 0.5):
            out["local-reduction-delay"] = rng.randrange(0, 5)
    if chance(rng, 0.2):
        out.update({"roofline-enabled": 1, "peak-perf": decimal(rng, 1, 2000) or 1})
    if chance(rng, 0.03):
        out["replay-only"] = 1
    if chance(rng, 0.1):
        out["trace-enabled"] = rng.choice([0, 1])
    for key in ("boost-mode", "intra-dimension-scheduling", "inter-dimension-scheduling"):
        if chance(rng, 0.1):
            out[key] = rng.choice(["FIFO", "SCF", 0, 1])
    for collective in COLLECTIVES:
        out[collective + "-implementation"] = implementations(rng, collective, counts, npus)
    return out


def groups(rng, npus):
    """Partitions of the ranks, as lists of groups' numbers; and the groups."""
    named, partitions = {}, []
    for _ in range(rng.randrange(1, 3)):
        width = rng.choice([w for w in range(1, npus + 1) if npus % w == 0])
        if width == 1 and npus > 1:
            width = npus
        ranks = list(range(npus))
        style = rng.randrange(3)
        if style == 1:
            ranks = [r for start in range(npus // width) for r in range(start, npus, npus // width)]
        if style == 2:
            rng.shuffle(ranks)
        partition = []
        for start in range(0, npus, width):
            ident = rng.choice([len(named) + 1, 10 * (len(named) + 1)])
            while str(ident) in named:
                ident += 1
            named[str(ident)] = ranks[start:start + width]
            partition.append(str(ident))
        partitions.append(partition)
    return named, partitions


class Program:
    """What every rank does, in one order for all of them, so that they can be expected to end."""

    def __init__(self, rng, npus, features):
        self.rng, self.npus, self.features = rng, npus, features
        self.nodes = [[] for _ in range(npus)]
        self.last_comm = [None] * npus
        self.step = rng.choice([1, 1, 7])

    def add(self, rank, kind, comm=False, **attributes):
        rng, mine = self.rng, self.nodes[rank]
        ident = len(mine) * self.step + (self.step > 1)
        deps = {node.id for node in rng.sample(mine, min(len(mine), rng.choice([0, 0, 1, 1, 2, 3])))}
        if mine and chance(rng, 0.4):
            deps.add(mine[-1].id)
        if comm and self.last_comm[rank] is not None and chance(rng, self.features["ordered"]):
            deps.add(self.last_comm[rank])
        data = [dep for dep in deps if chance(rng, 0.6)]
        ctrl = [dep for dep in deps if dep not in data or chance(rng, 0.1)]
        node = Node(ident, kind, name=f"n{ident}", data=data, ctrl=ctrl, **attributes)
        mine.append(node)
        if comm:
            self.last_comm[rank] = ident

    def compute(self):
        rng = self.rng
        same, everyone = chance(rng, 0.5), chance(rng, 0.6)
        micros, flops, tensor = rng.randrange(0, 200), rng.randrange(1, 1 << 40), rng.randrange(1, 1 << 28)
        if chance(rng, 0.03):
            tensor = 0
        cpu = self.features["cpu"] and chance(rng, 0.3)
        for rank in range(self.npus):
            if everyone or chance(rng, 0.5):
                if not same:
                    micros, flops = rng.randrange(0, 200), rng.randrange(1, 1 << 40)
                extra = {"num_ops": flops, "tensor_size": tensor}
                if cpu or chance(rng, 0.3):
                    extra["is_cpu_op"] = cpu
                self.add(rank, chakra.COMP, micros=micros, **extra)

    def collective(self):
        rng = self.rng
        what, count = rng.choice(list(COLLECTIVES.values())), size(rng)
        splits = self.features["splits"]
        if what == chakra.ALL_GATHER:
            count = max(count >> 6, splits)
        attributes = {"comm_type": what, "comm_size": count}
        if chance(rng, 0.4):
            attributes["comm_priority"] = rng.randrange(0, 5)
        if chance(rng, 0.3):
            attributes["is_cpu_op"] = False
        partitions = self.features["partitions"]
        if partitions and chance(rng, 0.6):
            for group in rng.choice(partitions):
                for rank in self.features["groups"][group]:
                    self.add(rank, chakra.COLL, comm=True, pg_name=group, **attributes)
            return
        if chance(rng, 0.1):
            attributes["pg_name"] = rng.choice(["", "0"])
        dims = self.features["dims"]
        if chance(rng, 0.25):
            involved = [chance(rng, 0.6) for _ in range(max(dims, 4))]
            involved[rng.randrange(self.features["shortest_list"])] = True
            attributes["involved_dim"] = involved
        for rank in range(self.npus):
            self.add(rank, chakra.COLL, comm=True, **attributes)

    def broadcast(self):
        micros = self.rng.choice([0, 3])
        for rank in range(self.npus):
            self.add(rank, chakra.COLL, comm=True, micros=micros, comm_type=chakra.BROADCAST, comm_size=1024)

    def messages(self):
        rng = self.rng
        for _ in range(rng.randrange(1, 2 * self.npus)):
            source, destination = rng.sample(range(self.npus), 2)
            attributes = {"comm_size": size(rng) >> 6 or 1, "comm_tag": rng.choice([0, 0, 1, 77, 499_999_999])}
            explicit = chance(rng, 0.5)
            own = {"comm_src": source} if explicit else {}
            self.add(source, chakra.SEND, comm=True, comm_dst=destination, **own, **attributes)
            own = {"comm_dst": destination} if explicit else {}
            self.add(destination, chakra.RECV, comm=chance(rng, 0.3), comm_src=source, **own, **attributes)

    def nothing(self):
        """Nodes that are over at once: what waits for them goes on when something else ends."""
        rng = self.rng
        for rank in range(self.npus):
            if chance(rng, 0.5):
                self.add(rank, INVALID)

    def memory(self):
        rng = self.rng
        kind, tensor = rng.choice([chakra.MEM_LOAD, chakra.MEM_STORE]), rng.randrange(1, 1 << 28)
        for rank in range(self.npus):
            if chance(rng, 0.7):
                self.add(rank, kind, comm=True, tensor_size=tensor)

    def idle(self):
        """Every rank has at least one node."""
        for rank in range(self.npus):
            if not self.nodes[rank]:
                self.add(rank, chakra.COMP, micros=1, num_ops=1 << 40, tensor_size=1)


def algorithm(rng, npus, folder, name):
    """A custom algorithm: messages in rounds, with compute between, the same pairs on both sides."""
    nodes = [[] for _ in range(npus)]
    step = rng.choice([1, 1, 1, 5, 37])

    def add(rank, kind, deps, **attributes):
        ident = len(nodes[rank]) * step
        nodes[rank].append(Node(ident, kind, data=sorted(deps), **attributes))
        return ident

    last = [set() for _ in range(npus)]
    for turn in range(rng.randrange(1, 5)):
        pairs = []
        if chance(rng, 0.5):
            shift = rng.randrange(1, npus)
            pairs = [(rank, (rank + shift) % npus) for rank in range(npus)]
        else:
            pairs = [tuple(rng.sample(range(npus), 2)) for _ in range(rng.randrange(1, 2 * npus))]
        count, tag = rng.randrange(1, 1 << 20), rng.randrange(0, 3)
        over = [set() for _ in range(npus)]
        for source, destination in pairs:
            attributes = {"comm_size": count, "comm_tag": tag}
            over[source].add(add(source, chakra.SEND, last[source], comm_src=source, comm_dst=destination, **attributes))
            over[destination].add(
                add(destination, chakra.RECV, last[destination], comm_src=source, comm_dst=destination, **attributes))
        for rank in range(npus):
            if over[rank] and chance(rng, 0.5):
                over[rank] = {add(rank, chakra.COMP, over[rank], micros=rng.randrange(0, 9))}
            last[rank] = over[rank] if chance(rng, 0.7) else last[rank] | over[rank]
    for rank in range(npus):
        if not nodes[rank]:
            add(rank, chakra.COMP, set(), micros=1)
        rng.shuffle(nodes[rank])
        chakra.write(os.path.join(folder, f"{name}.{rank}.et"), nodes[rank])


def customise(rng, npus, sys, program, folder):
    """Custom algorithms of collectives or nodes; ASTRA-sim waits for ever if they are cut into several chunks."""
    if chance(rng, 0.95):
        sys["preferred-dataset-splits"] = 1
    if chance(rng, 0.6):
        what = rng.choice(list(COLLECTIVES))
        algorithm(rng, npus, folder, "algorithm")
        sys[what + "-implementation-custom"] = ["algorithm"]
    if chance(rng, 0.6):
        algorithm(rng, npus, folder, "of_node")
        known = [{node.id: node.attributes.get("comm_type") for node in nodes} for nodes in program.nodes]
        ids = [ident for ident, what in known[0].items()
               if what is not None and all(other.get(ident) == what for other in known)]
        with open(os.path.join(folder, "per_node.yml"), "w") as file:
            for ident in rng.sample(ids, min(len(ids), 2)):
                file.write(f"{ident}: of_node\n")
            file.write("123456789: of_node\n")
        sys["per-node-custom-implementation"] = "per_node.yml"


def memory(rng):
    kind = rng.choice(["PER_NPU_MEMORY_EXPANSION", "MEMORY_POOL"])
    return {"memory-type": kind, "remote-mem-latency": rng.randrange(0, 3000), "remote-mem-bw": rng.randrange(1, 500)}


def write_case(rng, folder):
    """Writes one case into `folder`; gives the flags and the backend."""
    aware = chance(rng, 0.5)
    net = network(rng, aware)
    npus = 1
    for count in net["npus_count"]:
        npus *= count
    sys = system(rng, net)
    mem = memory(rng) if chance(rng, 0.3) else {"memory-type": "NO_MEMORY_EXPANSION"}
    named, partitions = groups(rng, npus) if chance(rng, 0.3) else ({}, [])
    lists = [len(sys[c + "-implementation"]) for c in COLLECTIVES]
    program = Program(rng, npus, {
        "ordered": rng.choice([1, 1, 1, 0.7]),
        "cpu": chance(rng, 0.3),
        "splits": sys["preferred-dataset-splits"],
        "partitions": partitions,
        "groups": named,
        "dims": len(net["npus_count"]),
        "shortest_list": min(lists),
    })
    acts = [program.collective] * 5 + [program.compute] * 3 + [program.messages, program.broadcast]
    if mem["memory-type"] != "NO_MEMORY_EXPANSION":
        acts += [program.memory] * 2
    if chance(rng, 0.1):
        acts.append(program.nothing)
    for _ in range(rng.choice([1, 1, 2, 3, 5, 8, 12]) if npus <= 48 else 1):
        rng.choice(acts)()
    program.idle()
    if chance(rng, 0.12):
        customise(rng, npus, sys, program, folder)
    for rank, nodes in enumerate(program.nodes):
        if chance(rng, 0.3):
            rng.shuffle(nodes)
        kinds = ["int64"] if chance(rng, 0.6) else ["int64", "uint64", "sint64", "fixed64", "sfixed64"]
        small = kinds + ["int32", "uint32", "sint32", "fixed32", "sfixed32"] * (len(kinds) > 1)
        pick = lambda name, value: rng.choice(small if isinstance(value, int) and value < 1 << 31 else kinds)
        chakra.write(os.path.join(folder, f"trace.{rank}.et"), nodes, pick)

    def put(name, text):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)

    put("network.yml", "".join(f"{key}: {json.dumps(value)}\n" for key, value in net.items()).replace('"', ""))
    put("system.json", json.dumps(sys, indent=2))
    put("memory.json", json.dumps(mem))
    flags = ["--workload-configuration=trace", "--system-configuration=system.json",
             "--network-configuration=network.yml", "--remote-memory-configuration=memory.json"]
    if named:
        put("groups.json", json.dumps(named))
        flags.append("--comm-group-configuration=groups.json")
    if chance(rng, 0.3):
        flags.append(f"--num-queues-per-dim={rng.randrange(1, 6)}")
    if chance(rng, 0.1):
        flags.append(f"--injection-scale={rng.choice([0.5, 2, 1.7, 3])}")
    if chance(rng, 0.12):
        flags.append("--rendezvous-protocol=" + rng.choice(["true", "false"]))
    return flags, "aware" if aware else "unaware"
