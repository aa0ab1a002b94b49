#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One pass of the scheduler over 10,000 waiting units of 600 distinct needs: less than 20 ms for 1,000 nodes
# and less than 200 ms for 10,000, the median of 21 passes over each of two fleets. What counts is the
# processor time of the pass (it waits for nothing), so that other load does not. Wants the release build.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
rate=${SHOAL_RELEASE:-$root/build/release}/bin/place_rate
[ -x "$rate" ] || { echo "no release build: $rate"; exit 77; }
held=0
figures=
pass() { # nodes, limit in ms
    for seed in 1 2; do
        line=$("$rate" "$1" 10000 600 21 "$seed")
        ms=${line%% *}
        echo "$1 nodes, fleet $seed: $ms ms (median), $(echo "$line" | cut -d' ' -f2) ms (worst)"
        figures="$figures $1:$ms"
        awk "BEGIN { exit !($ms < $2) }" || held=1
    done
}
pass 1000 20
pass 10000 200
echo "ms a pass:$figures"
exit $held
