#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Synced appends to Raft's log, 1, 16 and 256 entries of 256 bytes: over the redo log of the state
# store and over RocksDB's log, interleaved; one process, then three at once, as three agents on one
# disk. Last line: the smallest ratio of medians; exit 0 where it is at least 0.9: where flushing the
# disk takes most of the time both are alike.
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
awk '!n++ || $9 < least { least = $9 } END { printf "ratio %.2f\n", least; exit !(least >= 0.9) }' \
    "$work/lines"
