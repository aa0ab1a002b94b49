#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An empty federated round of a model of 1 MB with 10, 100 and 1000 simulated clients over the real
# core, every update looked at, added up and applied: at most 20 ms, 150 ms and 1.5 s of wall time.
# usage: empty_round.sh    Prints the times. Needs a release build ($SHOAL_RELEASE).
set -eu
tree=$(cd "$(dirname "$0")/../../.." && pwd)
"${SHOAL_RELEASE:-$tree/build/release}/bin/fed_rounds" | awk '
    { print; most = $2 == 10 ? 20 : $2 == 100 ? 150 : 1500
      if ($8 > most) { print "FAILED " $2 " clients: " $8 " ms are more than " most; bad = 1 }
      line = line (line == "" ? "" : ", ") $2 " clients " $8 " ms" }
    END { if (bad || NR != 3) exit 1
          print line }'
