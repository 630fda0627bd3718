#!/usr/bin/env bash
# Installs what compare.py compares with, where it is absent: Open MPI and MPICH (Debian or Ubuntu packages) and
# PyTorch for its Gloo backend (a virtual environment of its own in $GENIE_PEERS_DIR, default ~/.cache/genie-peers,
# about 1.4 GB). Can be run again at any time. What cannot be had is named, and the rest goes on without it.
set -u

here=$(cd "$(dirname "$0")" && pwd)
peers=${GENIE_PEERS_DIR:-$HOME/.cache/genie-peers}
# The version that the stand-ins were tried with; TORCH= (empty) takes the newest.
torch=${TORCH-2.15.0}
missing=()
updated=no

say() { printf 'setup: %s\n' "$*"; }
# Whether there is a program. A compiler of MPI is none without MPI's header, which is in another package.
has() {
    command -v "$1" >/dev/null 2>&1 || return 1
    [[ $1 != mpicc.* ]] || "$1" -E -include mpi.h -x c /dev/null >/dev/null 2>&1
}

# apt PROGRAM PACKAGE...: installs the packages unless the program is there.
apt() {
    local program=$1
    shift
    if has "$program"; then return 0; fi
    if ! has apt-get || [ "$(id -u)" != 0 ]; then
        missing+=("$program (packages: $*; needs apt-get and root)")
        return 1
    fi
    if [ $updated = no ]; then
        apt-get update -qq || say "apt-get update failed; trying with the lists that are there"
        updated=yes
    fi
    say "installing $*"
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || ! has "$program"; then
        missing+=("$program (packages: $*)")
        return 1
    fi
}

gloo_works() {
    [ -x "$peers/venv/bin/python" ] && (cd / && "$peers/venv/bin/python" -c \
        'import sys, torch, torch.distributed as d; torch.ones(2).sum(); sys.exit(not d.is_gloo_available())') >/dev/null 2>&1
}

# PyTorch's wheel for Linux wants gigabytes of CUDA libraries that Gloo never calls: leave them out, put stand-ins there.
install_gloo() {
    local pip="$peers/venv/bin/pip --disable-pip-version-check -q" lib
    mkdir -p "$peers" || return 1
    if [ ! -x "$peers/venv/bin/pip" ]; then python3 -m venv "$peers/venv" || return 1; fi
    say "installing PyTorch (about 540 MB to download)"
    $pip install typing_extensions filelock sympy networkx jinja2 fsspec numpy || return 1
    $pip install --no-cache-dir --no-deps "torch${torch:+==$torch}" || $pip install --no-cache-dir --no-deps torch || return 1
    lib=$(find "$peers/venv/lib" -type d -path '*/site-packages/torch/lib' | head -n 1)
    [ -n "$lib" ] && python3 "$here/cuda_stubs.py" "$lib" && gloo_works
}

apt gcc gcc libc6-dev
apt readelf binutils
apt ip iproute2
apt nsenter util-linux
apt sysctl procps
apt mpirun.openmpi openmpi-bin && apt mpicc.openmpi libopenmpi-dev
apt mpirun.mpich mpich && apt mpicc.mpich libmpich-dev
apt python3 python3
if ! python3 -c 'import ensurepip' 2>/dev/null; then
    # No program tells whether this package is there, so the name of none is asked for, and the outcome not counted.
    apt ensurepip python3-venv >/dev/null || unset 'missing[-1]'
fi
if has python3 && ! gloo_works; then
    install_gloo || missing+=("Gloo (PyTorch in $peers/venv; what went wrong stands above)")
fi

if [ ${#missing[@]} -gt 0 ]; then
    for what in "${missing[@]}"; do say "MISSING: $what"; done
    say "compare.py goes on without what is missing"
    exit 1
fi
say "all peers are there"
