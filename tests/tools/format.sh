#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every C file is as clang-format 14 writes it. "--fix" rewrites instead of complaining.
set -eu
cd "$(dirname "$0")/../.."
command -v clang-format >/dev/null 2>&1 || { echo "SKIP clang-format is not installed"; exit 77; }
case $(clang-format --version) in
*" 14."*) ;;
*) echo "SKIP clang-format 14 is wanted, found: $(clang-format --version)"; exit 77 ;;
esac
if [ "${1:-}" = "--fix" ]; then
    git ls-files -z -co --exclude-standard '*.c' '*.h' '*.cu' | xargs -0 clang-format -i
    exit 0
fi
git ls-files -z -co --exclude-standard '*.c' '*.h' '*.cu' | xargs -0 clang-format --dry-run -Werror
