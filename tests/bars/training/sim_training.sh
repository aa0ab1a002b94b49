#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Training in virtual time, storms of fresh seeds: federated rounds of 1,000 members, and synchronous
# steps of up to 32. Every property is judged at every event, and every fault must have hit every
# phase of a step 100 times. 30 minutes; with --quick 24 s, whatever was hit.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
sim=${SHOAL_RELEASE:-$root/build/release}/bin/shoal-sim
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
seconds=${SECONDS_TOTAL:-1800}
hits=100
if [ "${1:-}" = --quick ]; then
    seconds=24
    hits=0
fi
fresh=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
for world in federated together; do
    "$sim" train "$world" --seed "$fresh" --for $((seconds / 2)) >"$dir/$world" 2>"$dir/err" ||
        { cat "$dir/err" "$dir/$world"; exit 1; }
    cat "$dir/$world"
done
awk -v hits="$hits" '
    / times or more, trace / {
        for (i = 1; i <= NF; i++) if ($i == "phase") found = $(i + 1)
    }
    END {
        if (found < hits) print "a fault has hit some phase only " found " times"
        exit !(found >= hits)
    }' "$dir/together"
sed -n 's/^held: \([0-9]*\) seeds, 0 failed.*model within \([0-9.]*\) .*averages \([0-9.]*\),.*/\1 federated seeds, the model within \2 deviations of the truth, by plain averages never within \3/p' \
    "$dir/federated"
