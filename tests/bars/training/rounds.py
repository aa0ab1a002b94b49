#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Federated rounds over four agents, each with a part of a local data set, submitted to a follower:
- rounds: 5 leave exactly 5 records, on every agent the same, and a model after each of them, which
  is a file that predicts; the last one is the job's model;
- half of four agents are asked: 2 are recorded in every round, not always the same two, and the same
  again with the same seed;
- with continuation 0.75 a round closes with 3 of 4 updates;
- an agent that comes while rounds go on takes part in a later one;
- a target and patience end them early.
Prints what was seen.
"""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from federated import PARTS, declare, delivered, job, parts_of, records, rows, table, trained
from mesh import agreed_leader, finished, require, run, until
from training import submit

ROUNDS = 5


def exact(mesh, agents, follower):
    job_id, seen, outcome = trained(mesh, follower, job(ROUNDS, name="exact", min=4,
                                                        data={"train": "dataset:clouds"}))
    require([r["round"] for r in seen] == list(range(1, ROUNDS + 1)), f"records: {seen}")
    for record in seen:
        require(delivered(record) == sorted(a.name for a in agents), f"who took part: {record}")
        weights = {row["agent"]: row["weight"] for row in record["members"]}
        samples = {row["agent"]: row["samples"] for row in record["members"]}
        require(weights == samples, f"updates weigh as many samples as they saw: {record}")
    for agent in agents:
        require(records(agent, job_id) == seen, f"{agent.name} shows other records")
    digests = set()
    for count in range(ROUNDS + 1):
        path = mesh.path(f"round-{count}.safetensors")
        mesh.must(["checkpoints", job_id, "--get", count, "-o", path, "--peer", follower.api])
        with open(path, "rb") as file:
            digests.add(hashlib.sha256(file.read()).digest())
    require(len(digests) == ROUNDS + 1, "two rounds have the same model")
    require(seen[-1]["model"] == outcome["model_digest"], "the last round's model is another one")
    final = mesh.path("final.safetensors")
    mesh.must(["model", "get", "exact", "-o", final, "--peer", agents[0].api])
    with open(final, "rb") as a, open(mesh.path(f"round-{ROUNDS}.safetensors"), "rb") as b:
        require(a.read() == b.read(), "the model after the last round is not the job's model")
    samples = mesh.path("new.csv", "\n".join(
        line.rsplit(",", 1)[0] for line in table(rows(99, 5)).splitlines()) + "\n")
    text = mesh.must(["predict", "exact", samples, "--peer", follower.api])
    require("high" in text and "low" in text, f"its predictions: {text}")
    return len(seen)


def halves(mesh, follower):
    spec = job(6, name="half", data={"train": "dataset:clouds"}, select={"fraction": 0.5}, over=1,
               min=1)
    cohorts = []
    for _ in range(2):
        _, seen, _ = trained(mesh, follower, spec)
        cohorts.append([delivered(record) for record in seen])
    require(all(len(names) == 2 for names in cohorts[0]), f"half of four: {cohorts[0]}")
    require(len({tuple(names) for names in cohorts[0]}) > 1, f"always the same: {cohorts[0]}")
    require(cohorts[0] == cohorts[1], f"one seed, two choices: {cohorts}")
    return sorted({tuple(names) for names in cohorts[0]})


def three_of_four(mesh, follower):
    _, seen, _ = trained(mesh, follower, job(4, name="three", data={"train": "dataset:clouds"},
                                             continuation=0.75, min=1))
    for record in seen:
        require(record["updates"] == 3 and record["cohort"] == 4, f"closes with 3 of 4: {record}")
        rest = [part for part in parts_of(record).values() if part != "delivered"]
        require(rest == ["not needed"], f"the fourth one: {record}")


def newcomer(mesh, agents, follower):
    job_id = submit(mesh, follower, job(1000, name="long", data={"train": "dataset:clouds"},
                                        local_epochs=2, min=1))
    until("the first round", 30, lambda: records(follower, job_id))
    late = mesh.add("late", join=[agents[0]]).start()
    declare(mesh, [late], parts=PARTS[4:])

    def takes_part():
        row = follower.job(job_id)
        require(row["state"] == "running", f"job {job_id} is {row['state']}")
        return next((r["round"] for r in records(follower, job_id) if "late" in delivered(r)), None)
    first = until("the newcomer takes part", 60, takes_part)
    mesh.must(["stop", job_id, "--peer", follower.api])
    stopped = finished(follower, job_id, 30, state="stopped")
    require(stopped["unit_list"][0]["outcome"]["steps"] >= first, "what there was is not kept")
    return first


def ends(mesh, follower):
    data = {"train": "dataset:clouds"}
    _, seen, _ = trained(mesh, follower, job(200, name="target", data=data,
                                             target={"accuracy": 0.6}, min=1))
    reached = seen[-1]["val_correct"] / seen[-1]["val_total"]
    require(len(seen) < 200 and reached >= 0.6, f"ended after {len(seen)} with {reached}")
    _, patient, _ = trained(mesh, follower,
                            job(200, name="patience", data=data, patience=3, min=1,
                                train={"optimizer": {"sgd": {"lr": 1e-9}}}))
    require(len(patient) < 20, f"patience 3 ended after {len(patient)} rounds")
    return len(seen), len(patient)


def main(mesh):
    agents = mesh.three()
    agents.append(mesh.add("delta", join=agents[:1]).start())
    declare(mesh, agents)
    leader = agreed_leader(agents)
    follower = next(agent for agent in agents if agent is not leader)
    count = exact(mesh, agents, follower)
    pairs = halves(mesh, follower)
    three_of_four(mesh, follower)
    early = ends(mesh, follower)
    first = newcomer(mesh, agents, follower)
    print(f"{count} records of {count} rounds; pairs {pairs}; closed at 3 of 4; newcomer from round "
          f"{first} on; target after {early[0]} rounds, patience after {early[1]}")


if __name__ == "__main__":
    run(main)
