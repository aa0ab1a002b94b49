#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three agents on this machine train at least 85 % as fast as one agent does: the digits CNN, the
same job, one mesh of each side by side and taking turns, medians of five (three with --short). The
rate counts from the placement to the commit, so evaluations, checkpoints and meeting are in it.
Release build, OPENBLAS_* unset; wants a machine without other load. About 2 minutes; by hand.
"""
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, judge, require
from training import digits, outcome, submit

EPOCHS = 16
LEAST = 0.85
NOMINAL = 43 * 256 * EPOCHS


def rate(mesh, agents):
    """Samples a second of one run."""
    job = submit(mesh, agents[0], digits(EPOCHS))
    outcome(agents[0], job, 240)
    row = agents[0].job(job)
    return NOMINAL * 1e6 / (row["ended_us"] - row["started_us"])


def main():
    for name in [name for name in os.environ if name.startswith("OPENBLAS_")]:
        del os.environ[name]
    with Mesh(release=True) as one, Mesh(release=True) as three:
        alone = [one.add("alone").start()]
        gang = three.three()
        rates = ([], [])
        for turn in range(3 if "--short" in sys.argv else 5):
            rates[0].append(rate(one, alone))
            rates[1].append(rate(three, gang))
            print(f"turn {turn + 1}: one {rates[0][-1]:.0f}, three {rates[1][-1]:.0f} samples/s",
                  flush=True)
        core = [line for line in alone[0].journal().splitlines() if "BLAS core" in line][0]
        print(core.split("info: ", 1)[1])
    single, shared = (statistics.median(r) for r in rates)
    print(f"one agent {single:.0f} samples/s, three {shared:.0f} samples/s")
    require(shared >= LEAST * single, f"three agents reach {100 * shared / single:.1f} % of one")
    print(f"{100 * shared / single:.1f} %")


if __name__ == "__main__":
    judge(main)
