#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Training rate of the digits CNN (batch 256 as 16 ranks, 2 threads) over that of python3-torch in
# its best setting (2 threads; memory format and ATen kernels chosen by a first round), interleaved,
# medians of 5. Last line: the ratio. Exit 0 where it is at least 1.0; 77 without torch.
# usage: speed_torch.sh [BUILD_DIRECTORY] [MODEL]
set -eu
top=$(cd "$(dirname "$0")/../../.." && pwd)
build=${1:-$top/build/release}
if [ $# = 0 ]; then
    (cd "$top" && cmake --preset release && cmake --build --preset release --target train_rate) >/dev/null
fi
model=${2:-digits}
seconds=${SPEED_SECONDS:-2}
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE OPENBLAS_NUM_THREADS OMP_NUM_THREADS 2>/dev/null || true
unset NVPL_BLAS_DEBUG_CPU_TYPE ATEN_CPU_CAPABILITY 2>/dev/null || true
python=/usr/bin/python3
"$python" -c 'import torch' 2>/dev/null || { echo "python3-torch is not installed"; exit 77; }

torch() { # ATEN FORMAT
    ATEN_CPU_CAPABILITY=$1 "$python" -W ignore "$top/tests/perf/torch_cnn.py" "$model" 256 2 \
        "$seconds" "$2"
}
rate() { sed -n 's/.*samples\/s //p' "$1"; }
median() { sort -n "$1" | sed -n 3p; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
best=0
setting=
for aten in default avx2 avx512; do
    for format in contiguous channels_last; do
        torch $aten $format >"$work/line" 2>/dev/null || continue
        got=$(rate "$work/line")
        echo "torch $aten $format: $got samples/s"
        if [ "$got" -gt "$best" ]; then
            best=$got
            setting="$aten $format"
        fi
    done
done
[ -n "$setting" ] || { echo "torch did not run"; exit 1; }
echo "torch's best setting: $setting"
for round in 1 2 3 4 5; do
    # shellcheck disable=SC2086
    torch $setting >"$work/line"
    rate "$work/line" >>"$work/torch"
    "$build/bin/train_rate" "$model" 256 16 2 "$seconds" >"$work/ours_line"
    cat "$work/ours_line"
    rate "$work/ours_line" >>"$work/ours"
    echo "round $round: torch $(tail -n 1 "$work/torch"), kernels $(tail -n 1 "$work/ours")"
done
t=$(median "$work/torch")
o=$(median "$work/ours")
echo "medians: torch $t, kernels $o samples/s"
awk -v o="$o" -v t="$t" 'BEGIN { r = o / t; printf "ratio %.2f\n", r; exit !(r >= 1.0) }'
