#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The digits CNN follows PyTorch: step-0 gradients within 1e-5, loss within 1e-4 relative for 20
# steps and 1e-2 to step 100, with SGD-momentum and with AdamW; on every instruction set here.
# Last line: the largest of (figure / limit). Exit 0 only where all hold.
# usage: torch_parity.sh [BUILD_DIRECTORY]
set -eu
top=$(cd "$(dirname "$0")/../../.." && pwd)
build=${1:-$top/build/release}
if [ $# = 0 ]; then
    (cd "$top" && cmake --preset release && cmake --build --preset release --target torch_parity) >/dev/null
fi
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE NVPL_BLAS_DEBUG_CPU_TYPE 2>/dev/null || true
out=$(mktemp)
trap 'rm -f "$out"' EXIT
status=0
for isa in v4 v3 base; do
    rc=0
    "$build/bin/torch_parity" "$top/tests/golden/kernels" "$isa" >>"$out" || rc=$?
    [ "$rc" = 0 ] || [ "$rc" = 77 ] || status=1
done
cat "$out"
awk '/limit/ { split($0, part, /[(]limit |[)]/)
               n = split(part[1], word, " "); share = word[n] / part[2]
               if (!(share <= most)) { most = share } }
     END { printf "largest figure as a share of its limit: %.3f\n", most }' "$out"
exit $status
