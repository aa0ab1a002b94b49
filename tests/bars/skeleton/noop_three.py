#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three agents, each told one address of one other, list three members within 5 s. A job submitted
to one that follows commits all units and leaves equal states on all. After kill -9 of the
coordinator another leads within 5 s and a second job works; the killed agent, started again on its
directory, is the same node and reaches the same state. Fast: part of every test run.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, equal_states, finished, noop, require, run, until

MEMBERS_S = 5
LEADER_S = 5
UNITS = 40


def work(agents, name):
    """A job submitted to an agent that follows; True when all agents hold all its units."""
    leader = agreed_leader(agents)
    follower = next(agent for agent in agents if agent is not leader)
    job = follower.submit(noop(name, UNITS))["id"]
    for agent in agents:
        row = finished(agent, job, 20)
        require(row["units_completed"] == UNITS, f"{agent.name}: {row['units_completed']} units")
    return equal_states(agents)


def main(mesh):
    agents = []
    start = time.monotonic()
    for name in ("alpha", "beta", "gamma"):
        agents.append(mesh.add(name, join=agents[-1:]).launch())
    for agent in agents:
        agent.wait_up()
    for agent in agents:
        until(f"{agent.name} lists three members", MEMBERS_S,
              lambda a=agent: [n["liveness"] for n in a.nodes().values()] == ["alive"] * 3)
    listed = time.monotonic() - start
    require(listed <= MEMBERS_S, f"three members only after {listed:.1f} s")
    mesh.wait_voters(agents)
    work(agents, "first")

    killed = agreed_leader(agents)
    before = killed.status()
    others = [agent for agent in agents if agent is not killed]
    start = time.monotonic()
    killed.kill()
    until("another coordinator", LEADER_S,
          lambda: all(a.leader() not in (None, killed.name) for a in others))
    led = time.monotonic() - start
    gap = max(agent.status()["leaderless_us"] for agent in others) / 1000
    work(others, "second")

    killed.start()
    until("the killed agent is alive again", 15,
          lambda: all(a.liveness(killed.name) == "alive" for a in agents))
    after = killed.status()
    for key in ("id", "handle"):
        require(before[key] == after[key], f"restarted with another {key}: {before[key]}")
    digest = work(agents, "third")
    print(f"state {digest} on all three; three members after {listed:.2f} s; "
          f"another coordinator seen after {led:.2f} s")
    print(f"leaderless for {gap:.0f} ms")


if __name__ == "__main__":
    run(main)
