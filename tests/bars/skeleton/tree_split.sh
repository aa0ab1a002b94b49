#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every contiguous split of 16 ranks gives one digest; sums taken in order of arrival must not, or
# this bar could not see the difference.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
bin=${SHOAL_BUILD:-$root/build/dev}/tests
tree=$("$bin/split_digest")
echo "$tree"
arrival=$("$bin/split_digest_arrival")
echo "$arrival" | sed 's/^/in order of arrival: /'
[ "$(echo "$arrival" | grep -c ', 1 digests$')" = 0 ] || { echo "the bar is blind"; exit 1; }
[ "$(echo "$tree" | grep -c ', 1 digests$')" = 2 ] || { echo "splits differ"; exit 1; }
echo "1 digest over every split"
