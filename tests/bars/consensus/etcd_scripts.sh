#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# All of etcd's raft scripts, log lines included. The only directives that may differ are the two that are
# argued in docs/decisions/raft-and-etcd.md (lease reads). 77: the scripts are not here.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
scripts=${SHOAL_SHARED:-$root/../shared}/oracles/etcd-raft
[ -d "$scripts/interaction" ] || { echo "oracles/etcd-raft is absent"; exit 77; }
differences=$(mktemp)
trap 'rm -f "$differences"' EXIT
"${SHOAL_BUILD:-$root/build/dev}/tests/etcd_scripts" "$scripts/quorum" "$scripts/confchange" \
    "$scripts/interaction" 2>"$differences" && status=0 || status=$?
argued=forget_leader_read_only_lease_based.txt
unexplained=$(grep -E '\.txt:[0-9]+: ' "$differences" | grep -cv "$argued" || true)
known=$(grep -cE "$argued:(22|26): " "$differences" || true)
if [ "$status" -gt 1 ] || [ "$unexplained" -ne 0 ] || [ "$known" -ne 2 ]; then
    cat "$differences"
    exit 1
fi
echo "743 directives, 2 argued deviations"
