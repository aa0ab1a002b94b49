#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Simulated: a day of 60 nodes of which a fifth breaks three of four units. With more work than the fleet can
# do at least 1.15 times as much of its time goes into what is completed as without quarantine. With 70 % of
# what the sound nodes can do nobody waits for ever (no unit three hours old has not run, none waited longer
# than that), sound nodes are in quarantine less than 2 % of the time, and at most one unit in a hundred is
# taken for poison though it is none. Three seeds; --quick: one.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
fleet=${SHOAL_RELEASE:-$root/build/release}/bin/flaky_fleet
[ -x "$fleet" ] || { echo "no release build: $fleet"; exit 77; }
held=0
figures=
seeds="1 2 3"
[ "${1:-}" != --quick ] || seeds=1
for seed in $seeds; do
    with=$("$fleet" "$seed" 24 150)
    without=$("$fleet" "$seed" 24 150 off)
    usual=$("$fleet" "$seed" 24 70)
    echo "seed $seed, overloaded: $with"
    echo "        no quarantine: $without"
    echo "        with room: $usual"
    figures="$figures ${with%% *}:${without%% *}"
    awk "BEGIN { exit !(${with%% *} >= 1.15 * ${without%% *}) }" || held=1
    # shellcheck disable=SC2086
    set -- $usual
    awk "BEGIN { exit !($3 < 10800 && $4 == 0 && $7 * 100 <= $2 && $8 < 0.02) }" || held=1
done
echo "share of the fleet's time well spent, with and without quarantine:$figures"
exit $held
