#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A bit flips in the redo log of a killed agent's state store. The agent refuses to start, in one line
that names the damaged place and the commands that help; carried out, they make a new agent that
fetches the state, while the old one's vote is taken over. Then a bit flips in its store of blobs and
metrics: it puts that store aside, says so, and goes on under its identity. All states are equal at
the end, and no acknowledged job is missing. Fast: part of every test run.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, equal_states, finished, noop, require, run, until

JOBS = 20


SECTOR = 512


def flip(path, at):
    """One bit of a file."""
    with open(path, "r+b") as log:
        log.seek(at)
        byte = log.read(1)[0]
        log.seek(at)
        log.write(bytes([byte ^ 1]))


def flip_redo(store):
    """One bit in the middle of what was written to the store's redo log since it began."""
    path = os.path.join(store, "redo-0")
    with open(path, "rb") as log:
        data = log.read()
    written = len(data.rstrip(b"\0")) // SECTOR
    require(10 < written < len(data) // SECTOR, f"{path}: {written} sectors are written")
    flip(path, written // 2 * SECTOR + SECTOR // 4)


def flip_log(store):
    """One bit in the middle of the store's largest write-ahead log."""
    logs = [os.path.join(store, name) for name in os.listdir(store) if name.endswith(".log")]
    path = max(logs, key=os.path.getsize)
    size = os.path.getsize(path)
    require(size > 1000, f"{path} has {size} bytes only")
    flip(path, size // 2)


def main(mesh):
    agents = mesh.three()
    jobs = [agents[at % 3].submit(noop(f"job-{at}"))["id"] for at in range(JOBS)]
    leader = agreed_leader(agents)
    broken = next(agent for agent in agents if agent is not leader)
    for job in jobs:
        finished(broken, job, 20)
    broken.kill()
    state = os.path.join(broken.dir, "state")
    flip_redo(state)
    for _ in range(2):  # refusing changes nothing
        broken.launch()
        require(broken.end(20) == 1, "it starts on a damaged log")
    lines = [line for line in broken.journal().splitlines() if line.startswith("shoal agent: ")]
    require(len(lines) == 2 and lines[0] == lines[1], f"not one line each: {lines}")
    require(state + " is damaged" in lines[0], f"the place is not named: {lines[0]}")
    move = re.search(r"mv (\S+) (\S+); then shoal agent --data (\S+) --join HOST:7711 "
                     r"--secret (\S+) --name NEW_NAME", lines[0])
    require(move is not None and move[1] == move[3] == broken.dir, f"no commands: {lines[0]}")
    require(move[4] == mesh.secret, f"not this secret: {lines[0]}")
    os.rename(move[1], move[2])
    handle = leader.nodes()[broken.name]["id"]
    fresh = mesh.add("fresh", join=[leader])
    fresh.dir = move[3]
    fresh.start()
    require(fresh.status()["id"] != handle, "it is the old agent")
    others = [agent for agent in agents if agent is not broken] + [fresh]
    until("the new agent votes", 30, lambda: leader.nodes().get("fresh", {}).get("voter"))
    for job in jobs:
        finished(fresh, job, 20)
    equal_states(others)

    before = fresh.status()["id"]
    require(fresh.call("PUT", "/blobs", os.urandom(1 << 20)).status == 201, "no upload")
    fresh.kill()
    flip_log(os.path.join(fresh.dir, "bulk"))
    fresh.start()
    kept = [name for name in os.listdir(fresh.dir) if name.startswith("bulk.damaged")]
    require(len(kept) == 1, f"the damaged store was not kept: {os.listdir(fresh.dir)}")
    require(kept[0] in fresh.journal(), "its journal does not say where")
    require(fresh.status()["id"] == before, "it is another agent")
    job = fresh.submit(noop("last"))["id"]
    for agent in others:
        finished(agent, job, 20)
    equal_states(others)
    print("a damaged log: refused, and a new agent by the commands given; damaged blobs: put aside")


if __name__ == "__main__":
    run(main)
