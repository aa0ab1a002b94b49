#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Voters that die for good are replaced. Five agents, three vote: one voter is killed with SIGKILL and
never comes back; another agent votes within 15 s (10 s of patience and what gossip needs to be sure).
Then the coordinator, an original voter too, is killed for good: two of the present three voters are
left, so the cluster goes on, and within 15 s three live agents vote again. Jobs are submitted all
along: none is lost, none twice. Prints who voted when.
"""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, equal_states, finished, noop, require, run, until

REPLACED_S = 15
SERVED_S = 5


def voters(agent):
    return {name for name, node in agent.nodes().items() if node["voter"]}


def wait_replaced(live, lost):
    """Seconds until all live agents see three voters, all of them alive."""
    names = {agent.name for agent in live}
    start = time.monotonic()
    until(f"another agent votes instead of {lost.name}", REPLACED_S,
          lambda: all(len(voters(a)) == 3 and voters(a) <= names for a in live))
    return time.monotonic() - start


def submit(agents, jobs, key):
    """At the agent whose turn it is; how long until it was committed."""
    start = time.monotonic()
    jobs[key] = agents[len(jobs) % len(agents)].submit(noop(key, 2), key)["id"]
    return time.monotonic() - start


def history(agents):
    """What the coordinators' journals say of changes, with names in place of handles."""
    names = {str(node["handle"]): name for name, node in agents[-1].nodes().items()}
    lines = []
    for agent in agents:
        for line in agent.journal().splitlines():
            if re.search(r"agent \d+ (votes|follows|is taken out)", line):
                at = re.sub(r"agent (\d+)", lambda m: names.get(m[1], m[0]), line)
                lines.append(f"  {agent.name}: {at}")
    return lines


def main(mesh):
    agents = mesh.three(("ash", "birch", "cedar"))
    for name in ("dogwood", "elm"):
        agents.append(mesh.add(name, join=agents[:1]))
        agents[-1].start()
    until("five agents follow the log", 20, lambda: all(
        len(a.nodes()) == 5 and len(voters(a)) == 3
        and all("handle" in node for node in a.nodes().values()) for a in agents))
    everybody = list(agents)
    first = agreed_leader(agents)
    jobs = {}
    submit(agents, jobs, "calm")

    lost = next(a for a in agents if a is not first and a.name in voters(first))
    lost.kill()
    agents.remove(lost)
    submit(agents, jobs, "two-of-three")
    took = [wait_replaced(agents, lost)]
    require(lost.name not in voters(first), f"{lost.name} votes still")
    submit(agents, jobs, "replaced")

    leader = agreed_leader(agents)
    leader.kill()
    agents.remove(leader)
    gap = submit(agents, jobs, "second-death")
    require(gap < SERVED_S, f"a submission took {gap:.1f} s after the second death")
    took.append(wait_replaced(agents, leader))
    submit(agents, jobs, "three-left")

    for agent in agents:
        for key, job in jobs.items():
            finished(agent, job, 30)
            rows = [row for row in agent.read("/jobs")["jobs"] if row["name"] == key]
            require(len(rows) == 1, f"{agent.name} has {len(rows)} jobs {key}")
    equal_states(agents)
    print("\n".join(history(everybody)))
    print(f"{lost.name}, then {leader.name} killed for good: another agent voted after "
          f"{took[0]:.1f} and {took[1]:.1f} s (bar: {REPLACED_S}), a submission after the second death "
          f"took {gap:.2f} s (bar: {SERVED_S}), {len(jobs)} of {len(jobs)} jobs there once")


run(main)
