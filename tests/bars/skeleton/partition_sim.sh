#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The minority side of a partition refuses writes for want of a quorum and still reads; after healing
# all logs are equal. And the other example scenarios, each over 20 seeds.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
sim=${SHOAL_BUILD:-$root/build/dev}/bin/shoal-sim
for scenario in leader-crash slow-disk join-and-grow partition-minority; do
    out=$("$sim" run "$root/docs/examples/sim/$scenario.txt" --seeds 1..20) || {
        echo "$scenario"
        echo "$out"
        exit 1
    }
    echo "$scenario: $out"
done
