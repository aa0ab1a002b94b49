#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One simulated hour in which 5 % of all messages are lost and a majority hears the leader: no leader
# change. Three networks, five seeds each: a calm one; one that jitters by a heartbeat's length; and a
# calm one where one voter does not hear the leader at all for most of the hour. To show that the
# count can tell, the same hour with the leader killed once must have a change in every seed.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
sim=${SHOAL_BUILD:-$root/build/dev}/bin/shoal-sim
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

hour() { # NAME LATENCY EXTRA: writes the scenario
    cat > "$dir/$1.txt" <<END
agents 5
$2
expect leader within 5s
expect voters 3 within 60s
expect equal within 20s
at 60s loss 5%
$3
at 10m submit noop 20 to leader
at 3660s expect leader
heal
expect completed within 120s
expect equal within 60s
end
END
}

changes() { # NAME: leader changes of all seeds, and the fewest of one
    out=$("$sim" run "$dir/$1.txt" --seeds 1..5) || { echo "$1: $out"; exit 1; }
    echo "$1: $out" >&2
    echo "$out" | sed -n 's/.* \([0-9]*\) leader changes (fewest \([0-9]*\)).*/\1 \2/p'
}

hour calm "latency 300us jitter 200us" ""
hour jitter "latency 5ms jitter 30ms" ""
hour deaf "latency 300us jitter 200us" "at 120s cut leader -> follower"
hour killed "latency 300us jitter 200us" "at 120s kill leader
at 140s restart last"

total=0
for name in calm jitter deaf; do
    got=$(changes $name)
    total=$((total + ${got% *}))
done
control=$(changes killed)
[ "${control#* }" -ge 1 ] || { echo "a killed leader was not noticed"; exit 1; }
echo "15 simulated hours with 5 % loss: $total leader changes (bar: 0)"
[ "$total" -eq 0 ]
