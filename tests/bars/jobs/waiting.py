#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three agents with one core each. Two jobs that need two cores, submitted to an agent that
follows, wait, and `why` says so from any agent: a line with the reason on every agent, the place in
the queue by priority and not by age, the parts of the priority. The coordinator ends: the next one
says the same. A fourth agent with two cores joins: both jobs complete, and the reason is gone.
Fast: part of every test run.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Skip, agreed_leader, finished, noop, require, run, until

NAMES = ("alpha", "beta", "gamma")
REASON = "has too few free cores (needs 2, has 1)"


def large(name, priority):
    return dict(noop(name, 1), priority=priority, resources={"cpus": 2})


def explained(agent, job, position, names):
    """True once the lines are those of a job at that place that no agent can take."""
    answer = agent.call("GET", f"/jobs/{job}/why")
    if answer.status != 200:
        return False  # no coordinator, or none that has looked yet
    lines = answer.json["lines"]
    return ("the job: fewer agents than it needs could ever run it (needs 1, has 0)" in lines
            and all(f"{name}: {REASON}" in lines for name in names)
            and any(line.startswith(f"the queue: position {position} with priority")
                    for line in lines))


def main(mesh):
    if (os.cpu_count() or 1) < 2:
        raise Skip("this machine has one core")
    agents = []
    for name in NAMES:
        agents.append(mesh.add(name, join=agents[-1:], extra=["--threads", "1"]).launch())
    for agent in agents:
        agent.wait_up()
    mesh.wait_voters(agents)
    leader = agreed_leader(agents)
    follower = next(agent for agent in agents if agent is not leader)
    early = follower.submit(large("early", 10))["id"]
    late = follower.submit(large("late", 90))["id"]
    for agent in agents:
        until(f"{agent.name} explains both", 10,
              lambda a=agent: explained(a, early, 2, NAMES) and explained(a, late, 1, NAMES))
    own = [line for line in follower.why(late) if "its own 90.0" in line]
    require(own, f"no parts of the priority: {follower.why(late)}")

    leader.kill()
    left = [agent for agent in agents if agent is not leader]
    until("the next coordinator explains both", 20,
          lambda: explained(left[0], early, 2, [a.name for a in left])
          and explained(left[1], late, 1, [a.name for a in left]))
    big = mesh.add("delta", join=left[:1], extra=["--threads", "2"]).launch()
    start = time.monotonic()
    big.wait_up()
    for job in (late, early):
        finished(left[0], job, 20)
    took = time.monotonic() - start
    require(not any("too few" in line for line in left[0].why(late)), "the reason stays")
    print(f"both ran {took:.1f} s after the agent that fits them was started")


if __name__ == "__main__":
    run(main)
