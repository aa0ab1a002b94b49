#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A script in federated rounds: three agents each hold numbers of their own in a local data set, and the
job's Python moves the model half of the way to their mean. After the rounds the model is what the
mean over all samples gives by hand, also where updates are added up masked; a member whose script
fails in one round is named with what it said, and left out of that round only; with the agent killed
that leads the rounds, and started again, the model is the same, byte for byte. Prints the values.
"""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from federated import delivered, parts_of, records, wait_round
from mesh import finished, require, run
from training import submit

PARTS = {"alpha": [1.0, 2.0, 6.0], "beta": [10.0] * 8, "gamma": [-4.0, 20.0]}
ROUNDS = 5
SCRIPT = '''
import json, os, struct, sys, time

def write(values):
    head = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    head += b" " * (-len(head) % 8)
    with open(os.environ["SHOAL_MODEL_OUT"], "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + struct.pack("<2f", *values))

turn = int(os.environ["SHOAL_ROUND"])
if turn == 0:
    assert "SHOAL_MODEL_IN" not in os.environ
    write([0.0, 0.0])
    sys.exit()
if os.environ.get("FAILS") == os.environ["SHOAL_NODE"] and turn == 2:
    sys.exit("no more ink")
time.sleep(float(os.environ.get("SECONDS", "0")))
with open(os.environ["SHOAL_MODEL_IN"], "rb") as file:
    before = struct.unpack("<2f", file.read()[-8:])
with open(os.environ["SHOAL_DATASET"], encoding="utf-8") as file:
    numbers = [float(line) for line in file.read().split()[1:]]
mean = sum(numbers) / len(numbers)
write([before[0] + 0.5 * (mean - before[0]), float(turn)])
print('SHOAL {"samples": %d, "loss": %g}' % (len(numbers), abs(mean - before[0])))
'''


def job(name, rounds=ROUNDS, least=3, federated=None, **env):
    return {"api": "shoal/v1", "kind": "exec", "name": name, "package": "package", "env": env,
            "run": [["python3", "train.py"]], "model_file": "model.safetensors",
            "federated": {"rounds": rounds, "dataset": "numbers", "min": least,
                          **(federated or {})}}


def by_hand(rounds, absent=None):
    w = 0.0
    for turn in range(1, rounds + 1):
        present = [part for name, part in PARTS.items() if name != absent or turn != 2]
        count = sum(len(part) for part in present)
        w += sum(len(part) * 0.5 * (sum(part) / len(part) - w) for part in present) / count
    return w


def model_of(mesh, agent, name):
    path = mesh.path(f"model-{name}")
    mesh.must(["model", "get", name, "-o", path, "--peer", agent.api])
    with open(path, "rb") as file:
        return struct.unpack("<2f", file.read()[-8:])


def trained(mesh, agent, spec, disturb=None):
    job_id = submit(mesh, agent, spec)
    if disturb is not None:
        disturb(job_id)
    unit = finished(agent, job_id, 120)["unit_list"][0]
    seen = records(agent, job_id)
    require(len(seen) == spec["federated"]["rounds"], f"{len(seen)} records: {seen}")
    return seen, unit


def main(mesh):
    mesh.path("package/train.py", SCRIPT)
    agents = mesh.three(tuple(PARTS), extra=["--allow-commands"])
    for agent in agents:
        path = mesh.path(f"numbers-{agent.name}.csv",
                         "\n".join(["x"] + [str(x) for x in PARTS[agent.name]]) + "\n")
        mesh.must(["dataset", "add", "numbers", path, "--local", "--peer", agent.api])

    seen, unit = trained(mesh, agents[1], job("plain"))
    plain = model_of(mesh, agents[2], "plain")
    require(abs(plain[0] - by_hand(ROUNDS)) < 1e-5 and plain[1] == ROUNDS,
            f"the model is {plain}, by hand {by_hand(ROUNDS)}")
    require(all(delivered(r) == sorted(PARTS) for r in seen), f"somebody is missing: {seen}")
    samples = {row["agent"]: row["samples"] for row in seen[0]["members"]}
    require(samples == {name: len(part) for name, part in PARTS.items()}, f"samples: {samples}")

    trained(mesh, agents[2], job("masked", federated={"secure": True}))
    masked = model_of(mesh, agents[0], "masked")
    require(all(abs(a - b) < 1e-3 for a, b in zip(masked, plain)), f"masked it is {masked}")

    seen, _ = trained(mesh, agents[0], job("fails", least=2, FAILS="beta"))
    failing = model_of(mesh, agents[0], "fails")
    require(abs(failing[0] - by_hand(ROUNDS, "beta")) < 1e-5,
            f"without beta in round 2 it is {failing}, by hand {by_hand(ROUNDS, 'beta')}")
    require([parts_of(r)["beta"] for r in seen] == ["delivered", "failed"] + ["delivered"] * 3,
            f"beta: {[parts_of(r) for r in seen]}")
    why = next(row["why"] for row in seen[1]["members"] if row["agent"] == "beta")
    require("no more ink" in why, f"why: {why}")

    def kill_lead(killed_id):
        wait_round(agents[0], killed_id, 2)
        name = agents[0].job(killed_id)["unit_list"][0]["members"][0]["name"]
        victim = next(agent for agent in agents if agent.name == name)
        victim.kill()
        other = next(agent for agent in agents if agent is not victim)
        require(len(records(other, killed_id)) < ROUNDS, "the job was over before")
        victim.start()

    seen, again = trained(mesh, agents[0], job("killed", SECONDS="1"), kill_lead)
    require(all(delivered(r) == sorted(PARTS) for r in seen), f"somebody is missing: {seen}")
    require(again["outcome"]["model_digest"] == unit["outcome"]["model_digest"],
            f"model {again['outcome']}, not {unit['outcome']}")
    print(json.dumps({"model": plain, "masked": masked, "by hand": by_hand(ROUNDS), "without": failing, "why": why,
                      "gangs": again["placements"]}))


if __name__ == "__main__":
    run(main)
