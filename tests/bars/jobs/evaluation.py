#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Evaluations through the whole path, asked of a follower: the 14 metrics of a results.csv that a
script leaves, kept with the version that it made and, of other rows, with the one that it measures,
equal those of metrics_reference.py (exact fractions) to 1e-9, in both bucketings and both ways; so do
accuracy, MCC and the means over the classes of a model that shoal trained, from its own predictions.
"""
import csv
import io
import json
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "../../integ"))
import metrics_reference as reference
from mesh import agreed_leader, finished, require, run

END_S = 60
SEED = 7


def script(name, results):
    return {"api": "shoal/v1", "kind": "exec", "name": name, "package": name,
            "run": ["echo a model > model", "cp rows.csv results.csv"], "model_file": "model",
            "results": results, "evaluate": ["cp \"$SHOAL_INPUT\" results.csv"]}


def submit(mesh, agent, job):
    path = mesh.path(f"{job['name']}.json", json.dumps(job))
    out = mesh.must(["submit", path, "--json", "--peer", agent.api])
    return finished(agent, json.loads(out)["id"], END_S)


def evaluations(agent, model):
    return agent.read(f"/models/{model}")["evaluations"]


def scripts(mesh, agent, tally):
    rng = random.Random(SEED)
    for kind in ("generic", "cargo2000"):
        for compat in ("fixed", "conductor"):
            name = f"{kind}-{compat}"
            rows, others = ([r for _ in range(4) for r in reference.random_rows(rng)]
                            for _ in range(2))
            os.makedirs(mesh.path(name))
            reference.write_results(mesh.path(f"{name}/rows.csv"), rows)
            reference.write_results(mesh.path(f"{name}.csv"), others)
            results = {"file": "results.csv", "bucketing": kind, "compat": compat}
            job = submit(mesh, agent, script(name, results))
            own = evaluations(agent, f"{name}:1")
            require(len(own) == 1 and own[0]["samples"] == len(rows) and
                    own[0]["job"] == job["id"], f"{name}: {own}")
            # What has no value is null, an infinite one too.
            want = {k: None if v is reference.INFINITE else v
                    for k, v in reference.results(rows, kind, compat).items()}
            tally.take(name, own[0]["figures"], want)
            asked = submit(mesh, agent, {"api": "shoal/v1", "kind": "evaluate",
                                         "name": f"{name}-again", "model": name,
                                         "data": {"test": f"{name}.csv"}})
            again = [e for e in evaluations(agent, f"{name}:1") if e["job"] == asked["id"]]
            want = {k: None if v is reference.INFINITE else v
                    for k, v in reference.results(others, kind, compat).items()}
            tally.take(f"{name} again", again[0]["figures"], want)
            require(agent.read(f"/jobs/{asked['id']}/result")["figures"] == again[0]["figures"],
                    "the result is another one than what is kept")


def table(mesh, name, count, rng):
    rows = []
    for _ in range(count):
        x, y = rng.random(), rng.random()
        rows.append((x, y, "low" if x + y < 0.7 else "middle" if x + y < 1.2 else "high"))
    mesh.path(name, "x,y,level\n" + "".join(f"{x:.4f},{y:.4f},{c}\n" for x, y, c in rows))
    return rows


def trained(mesh, agent, tally):
    rng = random.Random(SEED)
    table(mesh, "train.csv", 400, rng)
    rows = table(mesh, "test.csv", 300, rng)
    submit(mesh, agent, {"api": "shoal/v1", "kind": "train", "name": "levels",
                         "data": {"train": "train.csv", "validation": 0},
                         "model": {"input": [2], "layers": [{"dense": 8}, "relu", {"dense": 3}]},
                         "train": {"batch": 40, "ranks": 4, "epochs": 4}})
    said = submit(mesh, agent, {"api": "shoal/v1", "kind": "predict", "name": "levels-said",
                                "model": "levels", "input": "test.csv"})
    body = agent.get(f"/jobs/{said['id']}/result").body.decode()
    classes = [row[1] for row in list(csv.reader(io.StringIO(body)))[1:]]
    require(len(classes) == len(rows), f"{len(classes)} predictions of {len(rows)} rows")
    measured = submit(mesh, agent, {"api": "shoal/v1", "kind": "evaluate", "name": "levels-worth",
                                    "model": "levels:1", "data": {"test": "test.csv"}})
    result = agent.read(f"/jobs/{measured['id']}/result")
    numbers = {name: i for i, name in enumerate(sorted({"low", "middle", "high"}))}
    pairs = [(numbers[row[2]], numbers[c]) for row, c in zip(rows, classes)]
    want = reference.k_classes(pairs, 3, 1)
    figures = result["figures"]
    got = {k: v for k, v in figures.items() if v is not None}
    exact = {"accuracy": want["accuracy"], "mcc": want["mcc"]}
    for name in ("precision", "recall", "f", "specificity", "npv", "fpr"):
        exact[name] = want[f"macro-{name}"]
    tally.take("levels", got, {k: v for k, v in exact.items() if v is not None})
    require(figures["mae"] is None, "a classifier has no mean error")
    one = next(c for c in result["details"]["classes"] if c["class"] == "low")
    require(abs(one["npv"] - one["tn"] / (one["tn"] + one["fn"])) < 1e-12, f"{one}")


def main(mesh):
    agents = mesh.three(extra=["--allow-commands"])
    follower = next(a for a in agents if a is not agreed_leader(agents))
    tally = reference.Tally()
    scripts(mesh, follower, tally)
    trained(mesh, follower, tally)
    require(not tally.wrong, "\n".join(tally.wrong[:10]))
    require(tally.compared - tally.absent > 80, f"{tally.compared} figures compared")
    print(f"{tally.compared} figures, largest difference {tally.largest:.1e}")


if __name__ == "__main__":
    run(main)
