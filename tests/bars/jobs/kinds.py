#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every kind of job, by its example in docs/examples, submitted to a follower of three agents: each
completes and leaves what it is for. A model trained on one agent answers on others; as many
predictions come as samples went in; a fine-tuned model names its parent and knows more than the
seed alone; a data set that a job made is read by a job on any agent.
"""
import csv
import glob
import io
import json
import os
import random
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import TREE, agreed_leader, finished, require, run

EXAMPLES = os.path.join(TREE, "docs/examples")
END_S = 100
ABSENT = ("mnist.yaml", "shakespeare.yaml", "spoken-digits.yaml")  # its data are not in the tree
# digits.yaml in one epoch; others look at the model that it makes.
SHORT = {"digits.yaml": [(r"epochs: \d+", "epochs: 1")]}
FIRST = ("digits.yaml", "data-prep.yaml", "script.yaml")


class Examples:
    """A copy of docs/examples that jobs can be submitted from."""

    def __init__(self, mesh, agent):
        self.mesh = mesh
        self.agent = agent
        self.dir = mesh.path("examples")
        shutil.copytree(EXAMPLES, self.dir)
        chance = random.Random(1)
        names = ["setosa", "versicolor", "virginica"]
        with open(os.path.join(self.dir, "iris.csv"), "w", encoding="ascii") as out:
            for i in range(150):
                row = [f"{i % 3 + chance.random():.2f}" for _ in range(4)]
                out.write(",".join(row + [names[i % 3]]) + "\n")

    def kind(self, name):
        with open(os.path.join(self.dir, name), encoding="utf-8") as text:
            return re.search(r"^kind: *(\S+)", text.read(), re.M).group(1)

    def submit(self, name):
        path = os.path.join(self.dir, name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for pattern, to in SHORT.get(name, []):
            require(re.search(pattern, text), f"{name} has no {pattern}")
            text = re.sub(pattern, to, text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        out = self.mesh.must(["submit", path, "--json", "--peer", self.agent.api])
        return finished(self.agent, json.loads(out)["id"], END_S)


def declare_parts(mesh, agents):
    """What docs/examples/federated.yaml trains on: each agent has its own."""
    for seed, agent in enumerate(agents):
        chance = random.Random(seed)
        rows = [(chance.random(), chance.random()) for _ in range(60 + 40 * seed)]
        text = "x0,x1,kind\n" + "".join(f"{x:.3f},{y:.3f},{'early' if x < y else 'late'}\n"
                                        for x, y in rows)
        path = mesh.path(f"flowers-{agent.name}.csv", text)
        mesh.must(["dataset", "add", "flowers", path, "--local", "--peer", agent.api])


def check_federated(agent, job):
    rounds = agent.read(f"/jobs/{job['id']}/rounds")
    require(len(rounds["rounds"]) == 20, f"{len(rounds['rounds'])} rounds")
    final = rounds["evaluation"]
    require(final["val_correct"] > 0.8 * final["val_total"], f"learnt: {final}")


def kinds_of(agent):
    """As an agent lists them when asked for one that is none."""
    answer = agent.call("POST", "/validate", {"api": "shoal/v1", "kind": "none", "name": "n"})
    require(answer.status == 400, f"a kind that is none: {answer}")
    return set(answer.json["error"]["message"].split("there are: ")[1].split(", "))


def check_evaluation(agent, job):
    result = agent.read(f"/jobs/{job['id']}/result")
    require(result["samples"] == 2048 and 0 < result["figures"]["accuracy"] <= 1,
            f"evaluation: {result}")
    kept = agent.read("/models/digits:1")["evaluations"]
    require(any(e["job"] == job["id"] and e["figures"] == result["figures"] and
                e["data"] == "builtin:digits-test" for e in kept), f"kept with the model: {kept}")
    shown = agent.mesh.must(["model", "show", "digits:1", "--peer", agent.api])
    require("accuracy" in shown and "builtin:digits-test" in shown, shown)
    points = agent.read(f"/jobs/{job['id']}/metrics?name=accuracy")
    require(json.dumps(points).count(str(result["figures"]["accuracy"])) > 0, f"series: {points}")


def check_prediction(agent, job):
    answer = agent.get(f"/jobs/{job['id']}/result")
    rows = list(csv.reader(io.StringIO(answer.body.decode())))
    require(len(rows) == 1 + 2048, f"{len(rows)} rows of 2048 samples")
    for number, row in enumerate(rows[1:]):
        parts = [float(p) for p in row[2::2]]
        require(row[0] == str(number) and len(parts) == 10, f"row {number}: {row}")
        require(parts == sorted(parts, reverse=True) and abs(sum(parts) - 1) < 1e-4,
                f"row {number}: {row}")
    folder = agent.mesh.path("fetched")
    agent.mesh.must(["outputs", job["id"], "-o", folder, "--peer", agent.api])
    with open(os.path.join(folder, "predictions.csv"), "rb") as file:
        require(file.read() == answer.body, "the outputs are others than the result")


def check_ensemble(agent, job):
    result = agent.read(f"/jobs/{job['id']}/result")
    require(result["answered"] == 1 and result["failures"] == 0 and result["samples"] == 2048,
            f"{ {k: v for k, v in result.items() if k not in ('mean', 'vote', 'members')} }")
    require("median" not in result and len(result["vote"]) == 2048, "combine: [mean, vote]")


def check_tuned(agent, job):
    model = agent.read("/models/digits-tuned")
    require(model["parent"] == {"name": "digits", "version": 1}, f"lineage: {model}")
    shown = agent.mesh.must(["model", "show", "digits-tuned", "--peer", agent.api])
    require("digits:1" in shown, shown)
    # Layers as the parent's, filled in where the file names none.
    spec = agent.job(job["id"])["spec"]
    require(spec["model"] == agent.job(agent.read("/models/digits:1")["job"])["spec"]["model"],
            f"layers: {spec}")
    require(spec["from"]["version"] == 1, f"resolved: {spec['from']}")
    begins_with_the_weights(agent)
    refuses_what_does_not_fit(agent)


def tune(name, **more):
    """Steps so small that no weight changes."""
    return {"api": "shoal/v1", "kind": "fine-tune", "name": name, "from": "digits:1",
            "data": {"train": "builtin:digits", "validation": 0, "test": "builtin:digits-test"},
            "train": {"optimizer": {"sgd": {"lr": 1e-30}}, "epochs": 1, "ranks": 4}, **more}


def begins_with_the_weights(agent):
    finished(agent, agent.submit(tune("still"))["id"], END_S)
    finished(agent, agent.submit(tune("anew", reset=["dense1"]))["id"], END_S)
    parent, still, anew = (agent.read(f"/models/{name}") for name in ("digits:1", "still", "anew"))
    require(still["model_digest"] == parent["model_digest"], "other weights than the parent's")
    right = [m["metrics"]["test_correct"] for m in (parent, still, anew)]
    require(right[0] == right[1] != right[2] and anew["model_digest"] != parent["model_digest"],
            f"correct: {right}")


def refuses_what_does_not_fit(agent):
    layers = ["flatten", {"dense": 10}]
    wrong = ((tune("a", reset=["nothing"]), "no layer nothing"),
             (tune("b", model={"input": [1, 28, 28], "layers": layers}), "reset: [dense1]"),
             ({**tune("c"), "from": "digits:99"}, "no such model"),
             ({**tune("d"), "from": "slope"}, "made by a script"))
    for job, text in wrong:
        answer = agent.call("POST", "/jobs", job)
        require(answer.status in (400, 404) and text in answer.json["error"]["message"] and
                answer.json["error"]["field"] == "from", f"{job['name']}: {answer}")


def check_dataset(agent, job):
    sets = {s["name"]: s for s in agent.read("/datasets")["datasets"]}
    require(sets["points"]["job"] == job["id"] and len(sets["points"]["holders"]) >= 2,
            f"data sets: {sets}")
    train = {"api": "shoal/v1", "kind": "train", "name": "side",
             "data": {"train": "dataset:points", "validation": 0.2},
             "model": {"input": [2], "layers": [{"dense": 8}, "relu", {"dense": 2}]},
             "train": {"optimizer": {"adamw": {"lr": 0.02}}, "batch": 40, "ranks": 4,
                       "epochs": 20}}
    row = finished(agent, agent.submit(train)["id"], END_S)
    require(agent.job(row["id"])["spec"]["data"]["train"] == f"files:{sets['points']['digest']}",
            "the job names the set by its contents")
    learnt = agent.read("/models/side")["metrics"]
    require(learnt["val_correct"] > 0.8 * learnt["val_total"], f"learnt: {learnt}")


CHECKS = {"evaluate.yaml": check_evaluation, "predict.yaml": check_prediction,
          "ensemble.yaml": check_ensemble, "fine-tune.yaml": check_tuned,
          "data-prep.yaml": check_dataset, "federated.yaml": check_federated}


def main(mesh):
    agents = mesh.three(extra=["--allow-commands"])
    follower = next(a for a in agents if a is not agreed_leader(agents))
    examples = Examples(mesh, follower)
    declare_parts(mesh, agents)
    names = sorted(os.path.basename(p) for p in glob.glob(os.path.join(EXAMPLES, "*.yaml")))
    missing = kinds_of(follower) - {examples.kind(name) for name in names}
    require(not missing, f"kinds without an example: {missing}")
    for name in FIRST + tuple(n for n in names if n not in FIRST + ABSENT):
        CHECKS.get(name, lambda agent, job: None)(follower, examples.submit(name))
    print(f"{len(names) - len(ABSENT)} examples of {len(kinds_of(follower))} kinds")


if __name__ == "__main__":
    run(main)
