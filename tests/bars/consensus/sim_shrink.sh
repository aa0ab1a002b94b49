#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# With a defect planted, a storm that breaks something is reduced to a short scenario, which breaks
# the same when it is run, and nothing in the program without the defect.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
build=${SHOAL_RELEASE:-$root/build/release}
which patch ninja >/dev/null || { echo "patch or ninja is not installed"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 "$root/tests/mutants/build.py" "$build" "$root"/tests/mutants/library/01*.patch "$dir/sim"
"$dir/sim" chaos --seed 1 --for 100 --stop --quiet >"$dir/found" 2>&1 && { echo "nothing found"; exit 1; }
seed=$(sed -n 's/^again: .*--seed //p' "$dir/found" | head -1)
"$dir/sim" shrink --seed "$seed" --runs 400 --out "$dir/short.txt" 2>"$dir/log" || { cat "$dir/log"; exit 1; }
acts=$(sed -n 's/ acts$//p' "$dir/log")
lines=$(grep -c '^at ' "$dir/short.txt")
cat "$dir/short.txt"
if "$dir/sim" run "$dir/short.txt" --quiet >"$dir/again"; then
    echo "the short scenario breaks nothing"
    exit 1
fi
grep -q 'commit rule: leader . of term [0-9]* commits' "$dir/again" || { cat "$dir/again"; exit 1; }
"$build/bin/shoal-sim" run "$dir/short.txt" --quiet >"$dir/sound" || { cat "$dir/sound"; exit 1; }
echo "seed $seed: $acts acts became $lines"
[ "$lines" -lt "$acts" ]
