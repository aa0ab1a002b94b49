#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The minority side of a partition, made with SIGSTOP of two of three agents: once the coordinator
stays behind, once a follower does. Reads and writes are answered with an error that names the lost
quorum, and stale reads still work, saying how old they are; after SIGCONT all states are equal and the
repeated write has happened once. Then kill -9 of all agents and a restart: the state is identical.
About 45 s, since a write looks for a quorum for 15 s before it gives up, a read for 5 s: part of the
slow tests.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, equal_states, finished, noop, require, run, until


def isolate(mesh, agents, alone, key):
    """Seconds after which the write was refused."""
    others = [a for a in agents if a is not alone]
    jobs = [row["id"] for row in alone.read("/jobs")["jobs"]]
    for agent in others:
        agent.pause()
    start = time.monotonic()
    answer = alone.call("POST", "/jobs", noop(key), {"Idempotency-Key": key}, timeout=40)
    took = time.monotonic() - start
    require(answer.status == 503 and answer.code() == "NO_QUORUM", f"a write was answered {answer}")
    require("quorum" in answer.json["error"]["message"], f"no word of the quorum: {answer}")
    answer = alone.get("/jobs")
    require(answer.status == 503 and answer.code() == "NO_QUORUM", f"a read was answered {answer}")
    require("stale" in answer.json["error"]["message"], f"no word of stale reads: {answer}")
    page = alone.read("/jobs?stale=1")
    require([row["id"] for row in page["jobs"]] == jobs, "a stale read changed")
    require(page["stale"]["age_us"] > 1e6 * took - 1e6, f"too young a state: {page['stale']}")
    require(len(alone.nodes()) == 3, "nodes are not listed on the minority side")
    row = alone.read(f"/jobs/{jobs[0]}?stale=1")
    require(row["state"] == "completed", "a job is not readable")
    seen = mesh.cli("ps", "--peer", alone.api)
    require(seen.returncode == 6 and "--stale" in seen.stderr, f"shoal ps: {seen.stderr}")
    mesh.must(["ps", "--stale", "--peer", alone.api])
    for agent in others:
        agent.resume()
    agreed_leader(agents, 20)
    job = alone.submit(noop(key), key)["id"]
    for agent in agents:
        finished(agent, job, 20)
        named = [row for row in agent.read("/jobs")["jobs"] if row["name"] == key]
        require(len(named) == 1, f"{agent.name} has {len(named)} jobs of one submission")
    equal_states(agents)
    return took


def main(mesh):
    agents = mesh.three()
    finished(agents[0], agents[1].submit(noop("before"))["id"], 20)
    leader = agreed_leader(agents)
    took = isolate(mesh, agents, leader, "leader-alone")
    follower = next(a for a in agents if a is not agreed_leader(agents))
    took = max(took, isolate(mesh, agents, follower, "follower-alone"))

    refused = mesh.cli("submit", mesh.path("bad.yaml", "{"), "--peer", agents[0].api)
    require(refused.returncode == 8, "a bad job file was not refused")
    digest = equal_states(agents)
    jobs = agents[0].read("/jobs")["jobs"]
    for agent in agents:
        agent.kill()
    for agent in agents:
        agent.launch()
    for agent in agents:
        agent.wait_up()
    for agent in agents:
        until(f"{agent.name} has its state again", 10,
              lambda a=agent: a.status()["state_digest"] == digest)
        require(agent.read("/jobs")["jobs"] == jobs, f"{agent.name}: the jobs changed")
    agreed_leader(agents, 10)
    finished(agents[0], agents[2].submit(noop("after"))["id"], 20)
    equal_states(agents)
    print(f"state {digest} after kill -9 of all; writes refused for lack of a quorum after")
    print(f"{took:.1f} s")


if __name__ == "__main__":
    run(main)
