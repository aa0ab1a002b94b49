#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The checker of histories on those of other projects' checkers, whose verdicts are known: porcupine's etcd
# and key-value histories, knossos's registers, transactions and locks. 77: they are not here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
shared=${SHOAL_SHARED:-$root/../shared}
for oracle in porcupine knossos; do
    [ -d "$shared/oracles/$oracle" ] || { echo "oracles/$oracle is absent"; exit 77; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 "$root/tests/lib/jepsen.py" "$shared" "$dir" >"$dir/known"
cut -d' ' -f2 "$dir/known" | xargs "${SHOAL_BUILD:-$root/build/dev}/bin/shoal-sim" check-history \
    >"$dir/judged" 2>"$dir/errors" && status=0 || status=$?
[ "$status" -le 1 ] || [ "$status" -eq 123 ] || { cat "$dir/errors"; exit 1; }
sed 's/^\([^:]*\): \([A-Z]*\):.*/\2 \1/' "$dir/judged" >"$dir/said"
sort "$dir/known" >"$dir/a"
sort "$dir/said" >"$dir/b"
all=$(wc -l <"$dir/known")
right=$(comm -12 "$dir/a" "$dir/b" | wc -l)
if [ "$right" -ne "$all" ] || [ "$all" -lt 200 ]; then
    comm -3 "$dir/a" "$dir/b" | head -40
    cat "$dir/errors"
    echo "$right of $all verdicts"
    exit 1
fi
echo "$right of $all verdicts"
