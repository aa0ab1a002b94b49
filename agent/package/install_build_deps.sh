#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what building shoal needs on Debian 12, only what is missing. Without root and sudo it
# prints the exact command and exits 2. "--tests" adds what only the tests use.
set -eu

packages="gcc cmake ninja-build pkg-config libzmq3-dev libczmq-dev libsodium-dev librocksdb-dev
libopenblas-dev libmicrohttpd-dev libjansson-dev libyaml-dev libexpat1-dev libarchive-dev
libcurl4-openssl-dev libjpeg-dev libpng-dev zlib1g-dev"
if [ "${1:-}" = "--tests" ]; then
    packages="$packages python3 clang-format curl procps iproute2 git bubblewrap"
fi

missing=""
for package in $packages; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    root="sudo"
else
    echo "shoal needs packages that are not installed. As root, run:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends$missing" >&2
    exit 2
fi
echo "installing:$missing"
$root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends $missing >/dev/null
