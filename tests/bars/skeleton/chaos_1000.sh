#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 1,000 seeds of storms over five agents: each at least 20,000 events, one leader change and one
# committed unit, every property holds after every event, and after healing the cluster converges.
# The first seeds give the same trace in the build without optimisation. --quick: 100 seeds.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
release=${SHOAL_RELEASE:-$root/build/release}/bin/shoal-sim
dev=${SHOAL_BUILD:-$root/build/dev}/bin/shoal-sim

one=$("$dev" chaos --agents 5 --events 20000 --seeds 1..10 2>&1 | grep -v events/s)
other=$("$release" chaos --agents 5 --events 20000 --seeds 1..10 2>&1 | grep -v events/s)
[ "$one" = "$other" ] || { printf 'the builds differ:\n%s\n%s\n' "$one" "$other"; exit 1; }

last=1000
[ "${1:-}" != --quick ] || last=100
out=$("$release" chaos --agents 5 --events 20000 --seeds "1..$last") || { echo "$out"; exit 1; }
fewest() {
    printf '%s\n' "$out" | sed -n "s/.* $1 (fewest \([0-9]*\)).*/\1/p"
}
[ "$(fewest events)" -ge 20000 ]
[ "$(fewest 'leader changes')" -ge 1 ]
[ "$(fewest 'units committed')" -ge 1 ]
printf '%s\n' "$out" | tail -1
