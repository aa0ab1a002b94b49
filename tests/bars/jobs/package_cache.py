#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A package of nested folders, programs and links, submitted to a follower of three agents: every unit
starts with a tree equal to it, without `models/`, `evaluation/` and what its .shoalignore names,
whatever units before it did to theirs; and of the units that run on one agent only the first one
fetches the package there: for all others no byte comes from another agent.
"""
import hashlib
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, finished, require, run, until

BIG = 3_000_000
LISTING = "find . -type f -o -type l | grep -v '^./tree.txt$' | LC_ALL=C sort | " \
          "while read f; do if [ -L $f ]; then echo link $f $(readlink $f); " \
          "elif [ -x $f ]; then echo program $f $(b2sum -l 256 < $f | cut -d' ' -f1); " \
          "else echo file $f $(b2sum -l 256 < $f | cut -d' ' -f1); fi; done > tree.txt; " \
          "rm -rf deep; echo spoilt > run.sh"
JOB = f"""api: shoal/v1
kind: exec
name: NAME
package: package
run: ["{LISTING}"]
outputs: [tree.txt]
replicas: UNITS
"""


def write_package(mesh):
    """The lines that a unit must find."""
    files = {"run.sh": b"#!/bin/sh\n", "deep/er/est/leaf": b"leaf\n", "big": os.urandom(BIG),
             "empty": b""}
    for name, content in files.items():
        mesh.path("package/" + name, content)
    os.chmod(mesh.path("package/run.sh"), 0o755)
    os.symlink("deep/er", mesh.path("package/link"))
    mesh.path("package/models/old.bin", b"left out")
    mesh.path("package/evaluation/old.csv", b"left out")
    mesh.path("package/skipped.tmp", b"left out")
    ignore = b"*.tmp\n"
    mesh.path("package/.shoalignore", ignore)
    files[".shoalignore"] = ignore
    lines = [f"{'program' if name == 'run.sh' else 'file'} ./{name} "
             f"{hashlib.blake2b(content, digest_size=32).hexdigest()}"
             for name, content in files.items()]
    return lines + ["link ./link deep/er"]


def submit(mesh, agent, name, units):
    path = mesh.path(f"{name}.yaml", JOB.replace("NAME", name).replace("UNITS", str(units)))
    return json.loads(mesh.must(["submit", path, "--json", "--peer", agent.api]))["id"]


def check_trees(mesh, agent, job, units, want):
    for unit in range(units):
        folder = mesh.path(f"tree-{job}-{unit}")
        mesh.must(["outputs", job, "--unit", unit, "-o", folder, "--peer", agent.api])
        with open(os.path.join(folder, "tree.txt"), encoding="utf-8") as file:
            got = file.read().splitlines()
        require(sorted(got) == sorted(want), f"unit {unit}: {sorted(got)}\nwanted {sorted(want)}")


def fetched(agents):
    return {a.name: a.status()["fetched_bytes"] for a in agents}


def ran_on(agent, job):
    return {n["name"] for e in agent.job(job)["history"] for n in e["nodes"]}


def main(mesh):
    agents = mesh.three(extra=["--allow-commands", "--copies", "2"])
    follower = next(a for a in agents if a is not agreed_leader(agents))
    want = write_package(mesh)
    first = submit(mesh, follower, "first", 6)
    finished(follower, first, 90)
    check_trees(mesh, follower, first, 6, want)
    warm = until("every agent ran a unit", 60,
                 lambda: spread(mesh, follower, agents, first, want))
    before = fetched(agents)
    second = submit(mesh, follower, "second", 9)
    finished(follower, second, 90)
    after = fetched(agents)
    check_trees(mesh, follower, second, 9, want)
    # Fetching the outputs of units is no fetching of packages: it came after.
    require(before == after, f"bytes were fetched again: {before}, then {after}")
    require(any(before[a.name] >= BIG for a in agents), f"nobody fetched the package: {before}")
    print(f"{warm} jobs until every agent had the package; then 9 units on "
          f"{len(ran_on(follower, second))} agents fetched 0 bytes")


def spread(mesh, follower, agents, first, want):
    """Jobs until units of them ran on all agents; how many there were."""
    names = ran_on(follower, first)
    count = 1
    while len(names) < len(agents) and count < 5:
        job = submit(mesh, follower, f"more-{count}", 6)
        finished(follower, job, 60)
        check_trees(mesh, follower, job, 6, want)
        names |= ran_on(follower, job)
        count += 1
    return count if len(names) == len(agents) else None


if __name__ == "__main__":
    run(main)
