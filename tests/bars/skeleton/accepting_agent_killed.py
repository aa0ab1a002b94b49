#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the agent that accepted a job, as soon as `shoal submit` has returned: the job
completes on the others, with the data that were uploaded to the killed agent alone; once the
coordinator accepts and once a follower does. The same --idempotency-key twice, at different agents,
is one job. Fast: part of every test run.
"""
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, equal_states, finished, require, run, until

ROWS = 4000
JOB = """\
api: shoal/v1
kind: train
name: table
data: {train: table.csv, validation: 0.1}
model: {input: [8], layers: [{dense: 16}, relu, {dense: 2}]}
train: {batch: 64, ranks: 8, epochs: 2}
"""


def table(seed):
    rng = random.Random(seed)
    lines = []
    for _ in range(ROWS):
        x = [rng.gauss(0, 1) for _ in range(8)]
        lines.append(",".join(f"{v:.6f}" for v in x) + f",{int(sum(x) > 0)}")
    return "\n".join(lines) + "\n"


def submit(mesh, agent, key):
    job = mesh.path("job.yaml", JOB)
    return json.loads(mesh.must(["submit", job, "--peer", agent.api, "--idempotency-key", key,
                                 "--json"]))


def kill_the_acceptor(mesh, agents, accepting, key):
    others = [agent for agent in agents if agent is not accepting]
    mesh.path("table.csv", table(key))  # other bytes each time: nobody has them yet
    row = submit(mesh, accepting, key)
    accepting.kill()
    for agent in others:
        finished(agent, row["id"], 60)
    again = submit(mesh, others[0], key)
    require(again["id"] == row["id"] and again["duplicate"], f"the key gave job {again['id']}")
    members = others[0].job(row["id"])["history"]
    accepting.start()
    until(f"{accepting.name} is back", 15,
          lambda: all(a.liveness(accepting.name) == "alive" for a in agents))
    finished(accepting, row["id"], 20)
    equal_states(agents)
    return len(members)


def main(mesh):
    agents = mesh.three()
    leader = agreed_leader(agents)
    follower = next(agent for agent in agents if agent is not leader)
    kill_the_acceptor(mesh, agents, follower, "follower")
    mesh.wait_voters(agents)
    kill_the_acceptor(mesh, agents, agreed_leader(agents), "coordinator")
    jobs = agents[0].read("/jobs")["jobs"]
    require(len(jobs) == 2, f"{len(jobs)} jobs of two keys")
    print("2 of 2 jobs completed without the agent that accepted them")


if __name__ == "__main__":
    run(main)
