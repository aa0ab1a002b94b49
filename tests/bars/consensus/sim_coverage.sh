#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Storms of fresh seeds on every core, all properties held after every event, and every crash gap
# hit at least 100 times with every fault in force. 30 minutes and 10^8 events; with --quick 30 s,
# and all seeds that ever failed (sim_seeds.txt), whatever was hit.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
sim=${SHOAL_RELEASE:-$root/build/release}/bin/shoal-sim
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
seconds=${SECONDS_TOTAL:-1800}
hits=100
events=100000000
cores=$(nproc)
if [ "${1:-}" = --quick ]; then
    seconds=30
    hits=0
    events=1
    cores=1
    for seed in $(sed 's/#.*//' "$root/tests/bars/consensus/sim_seeds.txt"); do
        "$sim" chaos --seed "$seed" --quiet >"$dir/old" || { cat "$dir/old"; exit 1; }
    done
fi
fresh=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
running=
for core in $(seq "$cores"); do
    "$sim" chaos --seed $((fresh + core * 10000000)) --for "$seconds" --pairs \
        >"$dir/out.$core" 2>"$dir/err.$core" &
    running="$running $!"
done
broken=0
for pid in $running; do
    wait "$pid" || broken=1
done
[ "$broken" -eq 0 ] || { cat "$dir"/err.*; grep -hv "^pair" "$dir"/out.*; exit 1; }

cat "$dir"/out.* | awk -v seconds="$seconds" -v hits="$hits" -v want="$events" '
    $1 == "pairs" { for (i = 2; i <= NF; i++) gap[i] = $i }
    $1 == "pair" { faults[$2]; for (i = 3; i <= NF; i++) sum[$2, i - 1] += $i; wide = NF }
    $1 == "held:" { seeds += $2; events += $6 }
    END {
        least = -1
        for (fault in faults)
            for (i = 2; i < wide; i++) {
                pairs++
                if (least < 0 || sum[fault, i] < least) {
                    least = sum[fault, i]
                    where = fault " in " gap[i]
                }
                if (sum[fault, i] < hits) print "only " sum[fault, i] ": " fault " in " gap[i]
            }
        printf "%d seeds, %d events, %d events/s, %d pairs, the rarest (%s) hit %d times\n", \
            seeds, events, events / seconds, pairs, where, least
        exit !(least >= hits && events >= want)
    }'
