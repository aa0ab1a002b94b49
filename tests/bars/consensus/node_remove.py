#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names become free again. An agent whose directory was wiped starts at its old address under its old
name: it is a new agent, admitted in the place of the old one without anybody's help. `shoal node
remove` refuses an agent that is alive, forgets one that is dead, and its name can be used elsewhere.
The forgotten agent, started again, ends with one clear line and disturbs nobody.
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, finished, noop, require, run, until

ADMITTED_S = 30
NOT_FOUND, CONFLICT = 3, 4


def ids(agent, name):
    """Ids of all agents of this name that agent lists, and whether each is alive."""
    return {node["id"]: node["liveness"] == "alive"
            for node in agent.read("/nodes")["nodes"] if node["name"] == name}


def wipe_and_start(mesh, agents, lost):
    others = [a for a in agents if a is not lost]
    old = set(ids(others[0], lost.name))
    lost.kill()
    shutil.rmtree(lost.dir)
    lost.join = [others[0].addr]
    lost.launch()
    until(f"{lost.name} is admitted anew", ADMITTED_S, lambda: all(
        len(ids(a, lost.name)) == 1 and all(ids(a, lost.name).values()) and
        not old & set(ids(a, lost.name)) for a in others))
    lost.wait_up()
    until(f"the new {lost.name} has all jobs", 20,
          lambda: len(lost.read("/jobs")["jobs"]) == len(others[0].read("/jobs")["jobs"]))


def main(mesh):
    agents = mesh.three(("ash", "birch", "cedar"))
    finished(agents[0], agents[0].submit(noop("before"))["id"], 20)
    leader = agreed_leader(agents)
    wipe_and_start(mesh, agents, next(a for a in agents if a is not leader))
    mesh.wait_voters(agents, 30)

    leader = agreed_leader(agents)
    gone = next(a for a in agents if a is not leader)
    refused = mesh.cli("node", "remove", gone.name, "--peer", leader.api)
    require(refused.returncode == CONFLICT and "alive" in refused.stderr,
            f"removing a live agent: {refused.returncode} {refused.stderr}")
    refused = mesh.cli("node", "remove", "nobody", "--peer", leader.api)
    require(refused.returncode == NOT_FOUND, f"removing nobody: {refused.returncode} {refused.stderr}")
    gone.kill()
    until(f"{gone.name} is dead", 20, lambda: leader.liveness(gone.name) == "dead")
    said = mesh.must(["node", "remove", gone.name, "--peer", leader.api])
    require("is removed" in said, said)
    live = [a for a in agents if a is not gone]
    until("nobody lists it", 10, lambda: all(not ids(a, gone.name) for a in live))

    other = mesh.add("drift", join=live[:1], extra=["--name", gone.name]).start()
    until("its name is used again", ADMITTED_S,
          lambda: all(list(ids(a, gone.name).values()) == [True] for a in live))

    gone.join = [live[0].addr]
    gone.extra = ["--name", "drift"]
    gone.launch()
    status = gone.end(ADMITTED_S)
    require(status == CONFLICT, f"the forgotten agent ended with {status}")
    require("was removed from the cluster" in gone.journal(), "and did not say why")
    finished(other, other.submit(noop("after"))["id"], 20)
    print("a wiped agent came back under its name, a removed one freed its name and ended with "
          f"status {status} when started again")


run(main)
