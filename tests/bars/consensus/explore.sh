#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every behaviour of three real cores within bounds, and no property breaks: from the start, from a leader
# that is lost, with crashes between writing and sending. The counts of states are what is expected: another
# one means that the core or the exploration behaves otherwise. --large: further, by hand, some minutes and
# 4 GB of memory.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
sim=${SHOAL_BUILD:-$root/build/dev}/bin/shoal-sim
total=0
explore() { # expected states, bounds
    expected=$1
    shift
    line=$("$sim" explore "$@") || { echo "$line"; exit 1; }
    echo "$line"
    states=$(echo "$line" | sed -n 's/^held: \([0-9]*\) states.*/\1/p')
    [ -n "$states" ] || exit 1
    if [ "$expected" != any ] && [ "$states" != "$expected" ]; then
        echo "$expected states expected: $*"
        exit 1
    fi
    total=$((total + states))
}
if [ "${1:-}" = --large ]; then
    explore any --terms 2 --proposals 2 --crashes 1 --depth 15 --states 60000000
    explore any --led --terms 3 --proposals 2 --crashes 1 --writes 2 --depth 15 --states 60000000
    explore any --led --no-pre-vote --terms 3 --proposals 2 --crashes 2 --depth 18 --states 60000000
else
    explore 415151 --terms 2 --proposals 1 --crashes 1 --depth 12
    explore 1089504 --led --terms 3 --proposals 2 --crashes 1 --writes 2 --depth 12
    explore 648160 --led --no-pre-vote --terms 3 --proposals 2 --crashes 2 --depth 13
fi
echo "$total states, all of them safe"
