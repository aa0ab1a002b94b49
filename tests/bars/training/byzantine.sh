#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Two liars of ten members in federated averaging, six ways of lying: plain averaging fails, multi-Krum
# ends within 3 points of a training without liars. A small network and all rules; with --quick a
# linear model and multi-Krum.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
program=${SHOAL_BUILD:-$root/build/dev}/tests/byzantine
[ "${1:-}" = --quick ] && exec "$program" linear 12 multi_krum
exec "$program" mlp 25
