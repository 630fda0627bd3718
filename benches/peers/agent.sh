#!/bin/sh
# Stands in for ssh when mpirun starts its daemons: enters the network namespace of the host and runs the command
# there, under that host's own name. Host 10.88.0.3 is namespace number 2 of the lab that GENIE_PEERS_LAB names.
while [ "${1#-}" != "$1" ]; do shift; done
number=$((${1##*.} - 1))
shift
exec nsenter --net="/run/netns/$GENIE_PEERS_LAB-$number" \
    unshare --uts sh -c "hostname n$number; exec \"\$0\" -c \"\$1\"" sh "$*"
