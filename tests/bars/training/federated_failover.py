#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A federated job on four agents, all of them needed in every round, ends with the same model bytes
- undisturbed,
- with the agent killed that leads the rounds, in the middle of a round, and started again,
- with the coordinator killed and started again,
- with every agent replaced one after the other (SIGTERM, started again on its directory).
Each time in a new cluster: other identities, the same names. One algorithm that keeps state on the
server (FedAdam), and SCAFFOLD, whose clients keep some. --quick: FedAdam only. Prints the digests.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from federated import declare, delivered, job, records, wait_round
from mesh import Mesh, agreed_leader, finished, judge, require, until
from training import submit

ROUNDS = 12
NAMES = ("alpha", "beta", "gamma", "delta")
ALGORITHMS = {"fedadam": {"algorithm": {"fedadam": {"lr": 0.03}}}, "scaffold": {"algorithm": "scaffold"}}


def back(agent):
    agent.start()
    return agent


def lead_of(agents, job_id):
    """The first member of the gang, which leads its rounds."""
    row = agents[0].job(job_id)
    name = row["unit_list"][0]["members"][0]["name"]
    return next(agent for agent in agents if agent.name == name)


def nothing(agents, job_id):
    pass


def kill_lead(agents, job_id):
    wait_round(agents[0], job_id, 2)
    victim = lead_of(agents, job_id)
    victim.kill()
    other = next(agent for agent in agents if agent is not victim)
    require(len(records(other, job_id)) < ROUNDS, "the job was over before")
    back(victim)


def kill_coordinator(agents, job_id):
    wait_round(agents[0], job_id, 2)
    victim = agreed_leader(agents)
    victim.kill()
    back(victim)


def roll(agents, job_id):
    for agent in agents:
        agent.leave()
        back(agent)
        others = [other for other in agents if other is not agent]
        until(f"{agent.name} is back", 30,
              lambda others=others, agent=agent: all(other.liveness(agent.name) == "alive"
                                                     for other in others))


def trained(algorithm, disturb):
    with Mesh() as mesh:
        agents = mesh.three(NAMES[:3])
        agents.append(mesh.add(NAMES[3], join=agents[:1]).start())
        declare(mesh, agents)
        job_id = submit(mesh, agents[0], job(ROUNDS, local_epochs=150, min=len(agents), deadline=60,
                                             **ALGORITHMS[algorithm]))
        disturb(agents, job_id)
        row = finished(agents[0], job_id, 180)
        seen = records(agents[0], job_id)
        require(len(seen) == ROUNDS, f"{len(seen)} records of {ROUNDS} rounds")
        require(all(delivered(r) == sorted(NAMES) for r in seen), f"somebody is missing: {seen}")
        return row["unit_list"][0]["outcome"]["model_digest"], row["unit_list"][0]["placements"]


def main():
    chosen = list(ALGORITHMS)[:1] if "--quick" in sys.argv[1:] else list(ALGORITHMS)
    told = []
    for algorithm in chosen:
        want, _ = trained(algorithm, nothing)
        for disturb in (kill_lead, kill_coordinator, roll):
            got, placements = trained(algorithm, disturb)
            require(got == want, f"{algorithm}, {disturb.__name__}: model {got}, not {want}")
            require(placements > 1 or disturb is not roll,
                    f"{algorithm}, {disturb.__name__}: the job was over before")
            told.append(f"{disturb.__name__} ({placements} gangs)")
        told.append(f"{algorithm} {want[:16]}")
    print("equal: " + ", ".join(told))


if __name__ == "__main__":
    judge(main)
