#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds the release preset and runs the demonstration on this machine.
# Its exit status is that of `shoal demo`: 0 only where everything that it promises held.
#   sh agent/demo.sh [--keep] [--dir DIR] [--json]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/agent/package/install_build_deps.sh" >&2
(
    cd "$root"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    cmake --preset release >"$log" 2>&1 || { cat "$log"; exit 1; }
    cmake --build --preset release --target shoal
) >&2
exec "$root/build/release/bin/shoal" demo "$@"
