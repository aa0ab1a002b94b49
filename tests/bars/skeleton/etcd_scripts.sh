#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# etcd's quorum (127) and confchange (58) directives, byte for byte. 77: the scripts are not here.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
scripts=${SHOAL_SHARED:-$root/../shared}/oracles/etcd-raft
[ -d "$scripts/quorum" ] || { echo "oracles/etcd-raft is absent"; exit 77; }
tally=$("${SHOAL_BUILD:-$root/build/dev}/tests/etcd_scripts" "$scripts/quorum" "$scripts/confchange")
echo "$tally"
[ "$tally" = "185/185 directives" ]
