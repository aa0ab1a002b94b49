#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds of each preset what the tests need, and runs every test: fast ones
# first, those of memory under the address sanitizer. The last line is
# "N passed, N failed, N skipped"; the exit status is 0 only with 0 failed.
#   sh tests/run.sh [--fast] [FILTER]
set -eu
cd "$(dirname "$0")/.."
sh agent/package/install_build_deps.sh --tests
build() { # PRESET TARGET
    cmake --preset "$1" >build.log.$$ 2>&1 || { cat build.log.$$; rm -f build.log.$$; exit 1; }
    rm -f build.log.$$
    cmake --build --preset "$1" --target "$2" -- --quiet
}
build dev unsanitized
build release programs
build asan sanitized
exec python3 tests/tools/run_tests.py --build build/dev --release build/release \
    --sanitized build/asan "$@"
