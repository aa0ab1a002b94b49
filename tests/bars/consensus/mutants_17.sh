#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The 17 defects that a Raft library had in its core, or their nearest equivalents in ours, each
# planted alone (tests/mutants/library): storms of fresh seeds find every one of them within 300 s.
# With --quick only three that are found soon.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
build=${SHOAL_RELEASE:-$root/build/release}
which patch ninja >/dev/null || { echo "patch or ninja is not installed"; exit 77; }
limit=${LIMIT_S:-300}
library=$root/tests/mutants/library
if [ "${1:-}" = --quick ]; then
    set -- "$library"/08*.patch "$library"/11*.patch "$library"/17*.patch
else
    set -- "$library"/*.patch
fi
first=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
killed=0
all=0
worst=0
for patch in "$@"; do
    name=$(basename "$patch" .patch)
    all=$((all + 1))
    python3 "$root/tests/mutants/build.py" "$build" "$patch" "$dir/sim"
    begun=$(date +%s)
    if "$dir/sim" chaos --agents 5 --seed "$first" --for "$limit" --stop --quiet \
        >"$dir/out" 2>"$dir/err"; then
        echo "$name: not found in $limit s, seeds from $first"
    else
        took=$(($(date +%s) - begun))
        worst=$((took > worst ? took : worst))
        killed=$((killed + 1))
        echo "$name: $took s, $(grep '^seed ' "$dir/out" | head -1)"
    fi
done
echo "$killed of $all killed, the slowest in $worst s"
[ "$killed" -eq "$all" ]
