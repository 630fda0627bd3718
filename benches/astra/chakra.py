"""Writes Chakra traces: just enough protobuf (see et_def.proto of mlcommons/chakra) and no more."""

import struct

METADATA, MEM_LOAD, MEM_STORE, COMP, SEND, RECV, COLL = range(1, 8)
ALL_REDUCE, ALL_GATHER, BROADCAST, ALL_TO_ALL, REDUCE_SCATTER = 0, 2, 5, 6, 7

# Field of each kind of integer in AttributeProto, and how it is written.
INTEGERS = {"int32": 7, "int64": 9, "uint32": 11, "uint64": 13, "sint32": 15, "sint64": 17,
            "fixed32": 19, "fixed64": 21, "sfixed32": 23, "sfixed64": 25}


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, wire, payload):
    return varint(number << 3 | wire) + payload


def message(number, payload):
    return field(number, 2, varint(len(payload)) + payload)


def integer(kind, value):
    number = INTEGERS[kind]
    if kind.startswith("sint"):
        return field(number, 0, varint(value << 1 ^ value >> 63))
    if kind.endswith("32") and "fixed" in kind:
        return field(number, 5, struct.pack("<I", value & 0xFFFFFFFF))
    if kind.endswith("64") and "fixed" in kind:
        return field(number, 1, struct.pack("<Q", value & (1 << 64) - 1))
    return field(number, 0, varint(value))


def attribute(name, value, kind="int64"):
    if isinstance(value, bool):
        payload = field(27, 0, varint(value))
    elif isinstance(value, str):
        payload = message(29, value.encode())
    elif isinstance(value, list):
        payload = message(28, message(1, bytes(int(v) for v in value)))
    else:
        payload = integer(kind, value)
    return message(10, message(1, name.encode()) + payload)


class Node:
    """A node; attributes are named as in Chakra."""

    def __init__(self, ident, kind, name="n", micros=0, data=(), ctrl=(), **attributes):
        self.id, self.kind, self.name, self.micros = ident, kind, name, micros
        self.data, self.ctrl, self.attributes = list(data), list(ctrl), attributes

    def encode(self, kind_of):
        out = field(1, 0, varint(self.id)) if self.id else b""
        out += message(2, self.name.encode()) + field(3, 0, varint(self.kind))
        for number, deps in ((4, self.ctrl), (5, self.data)):
            if deps:
                out += message(number, b"".join(map(varint, deps)))
        if self.micros:
            out += field(7, 0, varint(self.micros))
        for name, value in self.attributes.items():
            out += attribute(name, value, kind_of(name, value))
        return out


def write(path, nodes, kind_of=lambda name, value: "int64"):
    """Writes a trace; `kind_of` chooses the kind of integer of each attribute."""
    messages = [message(1, b"0.0.4")] + [node.encode(kind_of) for node in nodes]
    with open(path, "wb") as file:
        for each in messages:
            file.write(varint(len(each)) + each)
