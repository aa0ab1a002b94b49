# SPDX-License-Identifier: Apache-2.0
"""Federated jobs for bars: data that differs from agent to agent, and what came of the rounds."""
import json
import random

from mesh import finished, require, until
from training import submit

CLASSES = ["low", "middle", "high"]
FEATURES = 6


def rows(seed, count, shares=(1, 1, 1)):
    """Samples of three overlapping clouds; shares says how often each class comes."""
    chance = random.Random(seed)
    centres = random.Random(7)
    middle = [[centres.uniform(-1, 1) for _ in range(FEATURES)] for _ in CLASSES]
    lines = []
    for _ in range(count):
        label = chance.choices(range(len(CLASSES)), shares)[0]
        values = [chance.gauss(m, 0.7) for m in middle[label]]
        lines.append(",".join(f"{v:.4f}" for v in values) + "," + CLASSES[label])
    return lines


def table(lines):
    head = ",".join(f"x{i}" for i in range(FEATURES)) + ",label"
    return "\n".join([head] + lines) + "\n"


# Nobody has all classes alike, and nobody has as many samples as another.
PARTS = [(11, 300, (6, 1, 1)), (12, 500, (1, 6, 1)), (13, 200, (1, 1, 6)), (14, 400, (3, 1, 3)),
         (15, 350, (1, 1, 1)), (16, 250, (4, 4, 1))]


def declare(mesh, agents, name="clouds", parts=PARTS):
    """Gives each agent a part of its own of a local data set."""
    for agent, part in zip(agents, parts):
        path = mesh.path(f"{name}-{agent.name}.csv", table(rows(*part)))
        mesh.must(["dataset", "add", name, path, "--local", "--peer", agent.api])


def job(rounds, name="clouds", train=None, data=None, **federated):
    return {"api": "shoal/v1", "kind": "train", "name": name,
            "data": {"train": f"dataset:{name}", "label": "label", "validation": 0.2,
                     **(data or {})},
            "model": {"input": [FEATURES], "layers": [{"dense": 16}, "relu", {"dense": 3}]},
            "train": {"optimizer": {"sgd": {"lr": 0.1}}, "batch": 16, "ranks": 4, "seed": 1,
                      "classes": CLASSES, **(train or {})},
            "federated": {"rounds": rounds, "deadline": 30, **federated}}


def records(agent, job_id):
    return agent.read(f"/jobs/{job_id}/rounds")["rounds"]


def parts_of(record):
    return {row["agent"]: row["part"] for row in record["members"]}


def delivered(record):
    return sorted(name for name, part in parts_of(record).items() if part == "delivered")


def wait_round(agent, job_id, count, seconds=60):
    """Until so many rounds are committed."""
    def probe():
        row = agent.job(job_id)
        require(row["state"] in ("waiting", "running"), f"job {job_id} is {row['state']} already")
        return len(records(agent, job_id)) >= count
    until(f"round {count} of job {job_id}", seconds, probe)


def trained(mesh, agent, spec, seconds=90):
    """Submits, waits; (id, records, outcome)."""
    job_id = submit(mesh, agent, spec)
    unit = finished(agent, job_id, seconds)["unit_list"][0]
    return job_id, records(agent, job_id), unit["outcome"]


def text_of(value):
    return json.dumps(value, indent=1)
