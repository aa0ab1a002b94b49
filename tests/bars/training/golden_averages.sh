#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sums of federated rounds against known answers: {0, 2} and then {10, 10} end at 10.0; 0.75 from 0 and 1
# with 100 and 300 samples; 37 updates in permuted orders give the same bits; the five rules of
# the server follow the paper's formulas.
# usage: golden_averages.sh [TEST_FEDERATED]
set -eu
tree=$(cd "$(dirname "$0")/../../.." && pwd)
said=$("${1:-$tree/build/dev/tests/test_federated}")
for test in a_round_knows_nothing_of_the_round_before updates_weigh_as_many_samples_as_they_saw \
    permuted_arrivals_give_the_same_bits means_are_those_of_double_precision \
    'server_optimisers_follow_the_paper\[4\]'; do
    echo "$said" | grep -q "^ok $test\$" || { echo "FAILED $test did not pass"; exit 1; }
done
echo "$said" | tail -n 1
