#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Agents of root on one machine never run units as one user: each takes a range, and shows it."""
import os
import random
import sys

from mesh import Mesh, Skip, judge, require

WIDTH = 65  # SCRIPT_USERS
CONFLICT = 4


def apart(one, other):
    return abs(one - other) >= WIDTH


def body():
    if os.geteuid() != 0:
        raise Skip("only agents of root run commands as others")
    with Mesh() as mesh:
        allowed = ["--allow-commands"]
        alpha = mesh.add("alpha", extra=allowed).start()
        beta = mesh.add("beta", join=[alpha], extra=allowed).start()
        taken = {agent.name: agent.nodes()[agent.name]["run_as"] for agent in (alpha, beta)}
        require(apart(*taken.values()), f"two agents share users: {taken}")
        for agent in (alpha, beta):
            first = taken[agent.name]
            says = f"as users {first} to {first + WIDTH - 1}"
            require(says in agent.journal(), f"the journal of {agent.name} has no {says!r}")

        # Where no other harness of this machine looks.
        first = random.randrange(1_000_000, 9_000_000)
        delta = mesh.add("delta", join=[alpha], extra=allowed + ["--run-as", str(first)]).start()
        overlapping = first + WIDTH - 1
        gamma = mesh.add("gamma", join=[alpha], extra=allowed + ["--run-as", str(overlapping)])
        status = gamma.launch().end(20)
        require(status == CONFLICT, f"a range that is taken: exit {status}, not {CONFLICT}")
        line = f"--run-as: {overlapping}: another agent of this machine runs units as users of"
        require(line in gamma.journal(), f"no {line!r} in its journal")

        delta.kill()  # its lock goes with it
        gamma.start()
        require(f"as users {overlapping} to" in gamma.journal(), "gamma has another range")


if __name__ == "__main__":
    judge(body)
