#!/usr/bin/env python3
"""Makes an installed PyTorch wheel usable on a machine without CUDA, for its Gloo backend only.

The Linux x86-64 wheel on PyPI links against CUDA libraries of several gigabytes. Gloo on CPU calls none of
them, but the loader wants them to exist. This writes one small library per missing name beside the wheel's own
libraries; every function in them answers "no device" (CUDA error 100). Usage: cuda_stubs.py TORCH_LIB_DIR
"""

import collections
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

CUDA_ERROR_NO_DEVICE = 100
UNVERSIONED = ""
ABI = {"x86_64": "x86-64", "aarch64": "AArch64"}.get(platform.machine(), "")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed_names(library):
    return re.findall(r"\(NEEDED\).*\[(.+?)\]", output("readelf", "-dW", str(library)))


def needed_versions(library):
    """Pairs (library name, version name) that the loader checks before it binds anything."""
    pairs, owner = set(), None
    for line in output("readelf", "-VW", str(library)).splitlines():
        if match := re.search(r"File: (\S+)", line):
            owner = match.group(1)
        elif (match := re.search(r"Name: (\S+)\s+Flags", line)) and owner:
            pairs.add((owner, match.group(1)))
    return pairs


def symbols(library, option):
    """Triples (name, version, kind letter of nm) of the dynamic symbols."""
    for line in output("nm", "-D", "-P", option, str(library)).splitlines():
        fields = line.split()
        if len(fields) >= 2:
            name, _, version = fields[0].partition("@")
            yield name, version.lstrip("@"), fields[1]


def system_libraries():
    found = {}
    for line in output("/sbin/ldconfig", "-p").splitlines():
        if match := re.match(rf"\s+(\S+) \(.*{ABI}.*\) => (\S+)", line):
            found.setdefault(match.group(1), match.group(2))
    return found


def split_needed(libraries):
    """Which needed libraries the system has (their paths), and which nobody has (their names)."""
    own = {library.name for library in libraries}
    system = system_libraries()
    names = {name for library in libraries for name in needed_names(library)} - own
    present = {system[name] for name in names if name in system}
    return present, sorted(name for name in names if name not in system)


def missing_functions(libraries, present):
    """Undefined functions that neither the wheel nor the system defines, by version name."""
    defined = {name for library in [*libraries, *present] for name, _, _ in symbols(library, "--defined-only")}
    wanted = collections.defaultdict(set)
    for library in libraries:
        for name, version, kind in symbols(library, "--undefined-only"):
            if kind == "U" and name not in defined and re.fullmatch(r"[A-Za-z_]\w*", name):
                wanted[version].add(name)
    return wanted


def answers_text(name):
    return re.search(r"(Error|Status)_?(String|Name)$|GetVersionString$", name) is not None


def source_of(functions):
    lines = [
        'static const char *text(void) { return "CUDA is not installed"; }',
        f"static int no_device(void) {{ return {CUDA_ERROR_NO_DEVICE}; }}",
    ]
    for name in sorted(functions):
        kind, target = ("const char *", "text") if answers_text(name) else ("int ", "no_device")
        lines.append(f'{kind}{name}(void) __attribute__((alias("{target}")));')
    return "\n".join(lines) + "\n"


def write_stub(folder, soname, by_version):
    """One shared library; `by_version` maps each version name to the functions it must define."""
    with tempfile.TemporaryDirectory() as scratch:
        code, script = pathlib.Path(scratch, "stub.c"), pathlib.Path(scratch, "stub.map")
        code.write_text(source_of(set().union(*by_version.values())))
        command = ["gcc", "-w", "-fno-builtin", "-shared", "-fPIC", f"-Wl,-soname,{soname}"]
        versions = {version: names for version, names in by_version.items() if version != UNVERSIONED}
        if versions:
            blocks = (f"{v} {{ {'global: ' + '; '.join(sorted(n)) + ';' if n else ''} }};\n" for v, n in versions.items())
            script.write_text("".join(blocks))
            command.append(f"-Wl,--version-script={script}")
        output(*command, "-o", str(folder / soname), str(code))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: cuda_stubs.py TORCH_LIB_DIR")
    folder = pathlib.Path(sys.argv[1])
    libraries = sorted(path for path in folder.glob("*.so*") if path.is_file())
    present, missing = split_needed(libraries)
    if not missing:
        print("no library is missing")
        return
    functions = missing_functions(libraries, present)
    versions = {pair for library in libraries for pair in needed_versions(library)}
    for soname in missing:
        by_version = {version: functions[version] for owner, version in versions if owner == soname}
        # The loader looks for a name without a version in every library, so one of them can hold them all.
        if soname == missing[0]:
            by_version[UNVERSIONED] = functions[UNVERSIONED]
        write_stub(folder, soname, by_version or {UNVERSIONED: set()})
    total = sum(len(names) for names in functions.values())
    print(f"wrote {len(missing)} stand-in libraries with {total} functions: {' '.join(missing)}")


if __name__ == "__main__":
    main()
