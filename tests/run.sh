#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds the presets that the tests need, and runs every test: fast ones
# first, those of memory a second time under the address sanitizer. The last line is
# "N passed, N failed, N skipped"; the exit status is 0 only with 0 failed.
#   sh tests/run.sh [--fast] [FILTER]
set -eu
cd "$(dirname "$0")/.."
sh agent/package/install_build_deps.sh --tests
for preset in dev release asan; do
    cmake --preset "$preset" >build.log.$$ 2>&1 || { cat build.log.$$; rm -f build.log.$$; exit 1; }
    rm -f build.log.$$
    cmake --build --preset "$preset" -- --quiet
done
exec python3 tests/tools/run_tests.py --build build/dev --release build/release \
    --sanitized build/asan "$@"
