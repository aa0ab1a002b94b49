#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Synced appends to Raft's log, 1, 16 and 256 entries of 256 bytes: what they take over RocksDB's
# log over what they take over the redo log of the state store, interleaved; one process, then three
# at once, as three agents on one disk. Last line: the smallest ratio of medians and of 99th
# percentiles with 1 and 16 entries; exit 0 where they are at least 1.5 and 2.
# usage: log_sync.sh [DIRECTORY]: on the disk of interest, default the current one
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
build=${SHOAL_RELEASE:-$root/build/release}
[ -x "$build/bin/log_sync" ] || { echo "$build/bin/log_sync is not built"; exit 77; }
work=$(mktemp -d "${1:-.}/log_sync.XXXXXX")
trap 'rm -rf "$work"' EXIT
for processes in 1 3; do
    echo "processes: $processes"
    for entries in 1 16 256; do
        rm -rf "$work"/log-*
        "$build/bin/log_sync" "$work" $processes $entries $((entries == 256 ? 500 : 2000)) |
            tee -a "$work/lines"
    done
done
awk '$1 != "256:" { if (!n++ || $9 < median) median = $9; if (n == 1 || $10 < p99) p99 = $10 }
     END { printf "ratio %.2f %.2f\n", median, p99; exit !(median >= 1.5 && p99 >= 2) }' "$work/lines"
