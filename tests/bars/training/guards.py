#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What guards federated rounds, on five agents, submitted to a follower:
- secure: updates go into secure sums; the model is that of the same job without, to 1e-5; with one
  agent killed in the midst of it the job goes on without;
- privacy: every round tells the epsilon spent, the last one what the accountant says, in records and
  metrics; with secure too; a budget that the rounds would exceed is refused with the numbers;
- a rule: one agent's data is poison. The mean is spoilt by it, multi-Krum is not, and the records name
  it;
- what does not go together is refused with the reason.
Prints what was seen.
"""
import json
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from federated import PARTS, declare, delivered, job, records, rows, table, trained, wait_round
from mesh import agreed_leader, finished, require, run, until
from training import submit

ACCOUNTANT = os.path.join(os.environ.get("SHOAL_BUILD", os.path.join(os.path.dirname(
    os.path.abspath(__file__)), "../../../build/dev")), "tests/dp_accountant")
DATA = {"train": "dataset:clouds"}
REFUSED = [
    ({"secure": True, "min": 3, "aggregate": {"rule": "median"}}, "has to see every update"),
    ({"secure": True, "min": 3, "algorithm": "scaffold"}, "control variates are not masked"),
    ({"secure": True, "min": 3, "algorithm": {"fedbuff": {"updates": 3}}}, "masks fit among the members"),
    ({"secure": True, "min": 3, "short": "carry"}, "masked for one round"),
    ({"secure": True, "min": 2}, "must be at least 3 with secure"),
    ({"privacy": {"clip": 1, "noise": 1}, "aggregate": {"rule": "krum"}, "min": 5},
     "noise is made for a sum of clipped updates"),
    ({"privacy": {"clip": 1, "noise": 1}, "weight": "samples"}, "must be equal, or left out, with privacy"),
    ({"privacy": {"clip": 1, "noise": 1}, "algorithm": "scaffold"}, "without noise"),
    ({"privacy": {"clip": 1}}, "noise"),
    ({"privacy": {"clip": 1, "noise": 1, "epsilon_max": 3}}, "spend epsilon 3 in 0 rounds"),
    ({"aggregate": {"rule": "multi-krum"}, "min": 4}, "must be at least 5"),
]


def accuracy(record, without):
    """On what all but one agent hold out."""
    rows_of = [row for row in record["members"] if row["agent"] != without and "val_total" in row]
    return sum(r["val_correct"] for r in rows_of) / sum(r["val_total"] for r in rows_of)


def epsilon(noise, rounds, delta=1e-5):
    out = subprocess.run([ACCOUNTANT], input=f"1 {noise} {rounds} {delta}\n", text=True, check=True,
                         capture_output=True).stdout
    return float(out.split()[0])


def numbers(mesh, agent, name):
    """The floats of a model file."""
    path = mesh.path(f"{name}.safetensors")
    mesh.must(["model", "get", name, "-o", path, "--peer", agent.api])
    with open(path, "rb") as file:
        data = file.read()
    head = int.from_bytes(data[:8], "little")
    table_of = json.loads(data[8:8 + head])
    found = []
    for tensor in sorted(t for t in table_of if t != "__metadata__"):
        begin, end = table_of[tensor]["data_offsets"]
        raw = data[8 + head + begin:8 + head + end]
        found += struct.unpack(f"<{len(raw) // 4}f", raw)
    return found


def secure(mesh, agents, follower):
    _, plain, _ = trained(mesh, follower, job(4, name="plain", data=DATA, min=5))
    _, masked, _ = trained(mesh, follower, job(4, name="masked", data=DATA, min=5, secure=True))
    require(all(delivered(r) == sorted(a.name for a in agents) for r in masked), f"{masked}")
    for a, b in zip(plain, masked):
        require(a["updates"] == b["updates"] and a["val_total"] == b["val_total"],
                f"other updates: {a} {b}")
    off = max(abs(a - b) for a, b in zip(numbers(mesh, follower, "plain"),
                                         numbers(mesh, follower, "masked")))
    require(off < 1e-5, f"the secure sum is another one: {off}")
    return off


def killed(mesh, agents, follower):
    job_id = submit(mesh, follower, job(1000, name="killed", data=DATA, min=3, secure=True,
                                        deadline=10))
    wait_round(follower, job_id, 2)
    victim = next(a for a in agents if a is not follower and a is not agreed_leader(agents))
    victim.kill()

    def goes_on():
        return next((r["round"] for r in records(follower, job_id)
                     if r["outcome"] == "committed" and victim.name not in delivered(r)), None)
    first = until("rounds go on without the killed one", 90, goes_on)
    mesh.must(["stop", job_id, "--peer", follower.api])
    finished(follower, job_id, 60, state="stopped")
    victim.start()
    return first


def private(mesh, follower, **more):
    rounds, noise = 4, 2.0
    name = "private" + "".join(sorted(more))
    job_id, seen, _ = trained(mesh, follower, job(
        rounds, name=name, data=DATA, min=5,
        privacy={"clip": 0.5, "noise": noise, "epsilon_max": 20}, **more))
    spent = [r["epsilon"] for r in seen if r["outcome"] == "committed"]
    require(len(spent) == rounds and spent == sorted(spent), f"epsilon of each round: {spent}")
    for count, got in enumerate(spent, 1):
        require(abs(got - epsilon(noise, count)) < 1e-6, f"{got} after {count} rounds")
    text = mesh.must(["rounds", job_id, "--peer", follower.api])
    require(f"epsilon {spent[-1]:.4f} spent" in text, f"shoal rounds: {text}")
    metrics = json.loads(mesh.must(["metrics", job_id, "--json", "--peer", follower.api]))
    require("epsilon" in json.dumps(metrics), f"no epsilon among the metrics: {metrics}")
    return spent[-1]


def poisoned(mesh, agents, follower):
    bad = agents[-1]
    for agent, part in zip(agents, PARTS):
        lines = rows(*part)
        if agent is bad:  # many samples, with the labels turned round
            turn = {"low": "high", "middle": "low", "high": "middle"}
            lines = [",".join(line.split(",")[:-1] + [turn[line.split(",")[-1]]])
                     for line in rows(part[0], 3000, part[2])]
        path = mesh.path(f"poison-{agent.name}.csv", table(lines))
        mesh.must(["dataset", "add", "poison", path, "--local", "--peer", agent.api])
    data = {"train": "dataset:poison"}
    _, mean, _ = trained(mesh, follower, job(8, name="mean", data=data, min=5))
    job_id, krum, _ = trained(mesh, follower, job(8, name="krum", data=data, min=5,
                                                  aggregate={"rule": "multi-krum"}))
    text = mesh.must(["rounds", job_id, "--peer", follower.api])
    require(f"{bad.name} delivered (its update: far" in text, f"shoal rounds: {text}")
    for record in (r for r in krum if r["outcome"] == "committed"):
        row = next(m for m in record["members"] if m["agent"] == bad.name)
        require("far from the others" in row.get("why", "") and "weight" not in row,
                f"the poisoned one is not named: {row}")
        require(record["updates"] == 4, f"it was added all the same: {record}")
    return accuracy(mean[-1], bad.name), accuracy(krum[-1], bad.name)


def refused(mesh, follower):
    for settings, reason in REFUSED:
        spec = job(3, name="refused", data=DATA, **settings)
        answer = follower.call("POST", "/jobs", spec)
        text = answer.body.decode()
        require(answer.status == 400 and reason in text, f"{settings}: {text}, wanted: {reason}")
    return len(REFUSED)


def main(mesh):
    agents = mesh.three()
    agents.append(mesh.add("delta", join=agents[:1]).start())
    agents.append(mesh.add("echo", join=agents[:1]).start())
    declare(mesh, agents)
    follower = next(agent for agent in agents if agent is not agreed_leader(agents))
    count = refused(mesh, follower)
    off = secure(mesh, agents, follower)
    spent = private(mesh, follower)
    both = private(mesh, follower, secure=True)
    mean, krum = poisoned(mesh, agents, follower)
    require(krum > mean + 0.15, f"multi-Krum {krum} against {mean}")
    first = killed(mesh, agents, follower)
    print(f"{count} combinations refused; secure sums {off:.1e} from plain ones, and without a killed "
          f"agent from round {first} on; epsilon {spent:.3f} and {both:.3f}; poisoned: mean "
          f"{mean:.2f}, multi-krum {krum:.2f}")


if __name__ == "__main__":
    run(main)
