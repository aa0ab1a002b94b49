#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The price of logical ranks: the digits CNN at batch 256 as 16 ranks over the same as 1 rank, both on
# one thread (1 rank cannot use two), interleaved, medians of 5. Last line: the ratio. Exit 0 where
# it is at least 0.9.
# usage: speed_ranks.sh [BUILD_DIRECTORY] [MODEL]
set -eu
top=$(cd "$(dirname "$0")/../../.." && pwd)
build=${1:-$top/build/release}
if [ $# = 0 ]; then
    (cd "$top" && cmake --preset release && cmake --build --preset release --target train_rate) >/dev/null
fi
model=${2:-digits}
seconds=${SPEED_SECONDS:-2}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE OPENBLAS_NUM_THREADS 2>/dev/null || true
unset NVPL_BLAS_DEBUG_CPU_TYPE 2>/dev/null || true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
median() { sort -n "$1" | sed -n 3p; }
for round in 1 2 3 4 5; do
    echo "round $round"
    for ranks in 1 16; do
        "$build/bin/train_rate" "$model" 256 $ranks 1 "$seconds" | tee "$work/line"
        sed -n 's/.*samples\/s //p' "$work/line" >>"$work/$ranks"
    done
done
many=$(median "$work/16")
one=$(median "$work/1")
awk -v a="$many" -v b="$one" 'BEGIN { r = a / b; printf "ratio %.3f\n", r; exit !(r >= 0.9) }'
