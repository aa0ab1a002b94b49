#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Secure sums with 30 % of drop-outs at every phase: exact, and masked to whoever aggregates. With
# --quick of 100,000 parameters instead of 1,000,000.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
count=1000000
[ "${1:-}" = --quick ] && count=100000
exec "${SHOAL_BUILD:-$root/build/dev}/tests/secure_sum" "$count"
