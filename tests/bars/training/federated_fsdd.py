#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The free spoken digits with one speaker on each of six agents, takes 0 to 4 of every speaker for the
test, as everywhere. A network is trained on all recordings in one place, and then in federated rounds
over the six, who keep theirs, with every algorithm; as many passes over the data in both. It is that
of docs/examples/spoken-digits.yaml with a layernorm of each recording in place of the batch
normalisations, whose statistics differ from speaker to speaker. Prints a table: right answers on the
300 test recordings, rounds, seconds. Holds where plain averaging (fedavg), and the best of the others,
are at most two points behind the training in one place.
usage: federated_fsdd.py [--quick | ALGORITHM...]    --quick: fedavg only. Release build; --quick takes two to
three minutes on two cores, all of them fifteen.
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, finished, judge, require, shared
from training import submit

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
TEST_TAKES = 5
POINTS = 2.0
AUDIO = {"mels": 40, "frames": 64, "label": "name"}
CLASSES = [str(digit) for digit in range(10)]
ADAMW = {"adamw": {"lr": 0.002}}
ROUNDS = 40
ALGORITHMS = {  # algorithm, what else differs
    "fedavg": ("fedavg", {}),
    "fedprox": ({"fedprox": {"mu": 0.01}}, {}),
    "fedavgm": ({"fedavgm": {"lr": 0.7, "beta1": 0.3}}, {}),
    "fedadagrad": ({"fedadagrad": {"lr": 0.03}}, {}),
    "fedadam": ({"fedadam": {"lr": 0.005}}, {}),
    "fedyogi": ({"fedyogi": {"lr": 0.005}}, {}),
    "scaffold": ("scaffold", {"optimizer": {"sgd": {"lr": 0.03}}}),
    "fedbuff": ({"fedbuff": {"updates": 4}}, {"rounds": 54, "min": 4}),
}


def takes(folder):
    """recordings-SPEAKER/ for each, recordings/ and recordings-test/ for all."""
    source = shared("data", "fsdd", "recordings")
    for file in sorted(os.listdir(source)):
        _, speaker, take = file.rsplit(".", 1)[0].split("_")
        where = ["recordings-test"] if int(take) < TEST_TAKES else ["recordings",
                                                                   f"recordings-{speaker}"]
        for name in where:
            os.makedirs(os.path.join(folder, name), exist_ok=True)
            shutil.copy(os.path.join(source, file), os.path.join(folder, name))


def layers():
    conv = [[{"conv2d": {"filters": filters, "kernel": kernel, "padding": "same"}}, "relu",
             {"maxpool": 2}] for filters, kernel in ((16, 5), (32, 3), (32, 3))]
    return ["layernorm"] + sum(conv, []) + ["flatten", {"dropout": 0.3}, {"dense": 10}]


def job(name, folder, train, data, **more):
    return {"api": "shoal/v1", "kind": "train", "name": name,
            "data": {"test": os.path.join(folder, "recordings-test"), "audio": AUDIO, **data},
            "model": {"input": [1, 40, 64], "layers": layers()},
            "train": {"optimizer": ADAMW, "batch": 64, "ranks": 4, "classes": CLASSES, **train},
            **more}


def worth(agent, job_id):
    row = finished(agent, job_id, 600)
    metrics = row["unit_list"][0]["outcome"]["metrics"]
    require(metrics["test_total"] == 300, f"{metrics['test_total']} test recordings")
    return (100 * metrics["test_correct"] / metrics["test_total"],
            (row["ended_us"] - row["started_us"]) / 1e6)


def central(mesh, agent, folder):
    spec = job("pooled", folder, {"epochs": ROUNDS, "schedule": {"cosine": {"warmup_steps": 20}}},
               {"train": os.path.join(folder, "recordings"), "validation": 0, "normalize": "none"})
    return worth(agent, submit(mesh, agent, spec))


def federated(mesh, agent, folder, name):
    algorithm, more = ALGORITHMS[name]
    rounds = more.get("rounds", ROUNDS)
    spec = job(name, folder, {"batch": 32, "schedule": "cosine",
                              "optimizer": more.get("optimizer", ADAMW)},
               {"train": "dataset:digits", "validation": 0},
               federated={"rounds": rounds, "algorithm": algorithm, "deadline": "120s",
                               "min": more.get("min", len(SPEAKERS))})
    job_id = submit(mesh, agent, spec)
    accuracy, seconds = worth(agent, job_id)
    seen = agent.read(f"/jobs/{job_id}/rounds")["rounds"]
    require(len(seen) == rounds, f"{name}: {len(seen)} records of {rounds} rounds")
    return accuracy, seconds, rounds


def main():
    words = sys.argv[1:]
    chosen = ["fedavg"] if "--quick" in words else words or list(ALGORITHMS)
    with Mesh(release=True) as mesh:
        folder = mesh.path("digits")
        takes(folder)
        agents = mesh.three(SPEAKERS[:3])
        for speaker in SPEAKERS[3:]:
            agents.append(mesh.add(speaker, join=agents[:1]).start())
        for agent in agents:
            mesh.must(["dataset", "add", "digits", os.path.join(folder, f"recordings-{agent.name}"),
                       "--local", "--peer", agent.api], seconds=120)
        pooled, seconds = central(mesh, agents[0], folder)
        print(f"{'in one place':12} {pooled:6.2f} %               {seconds:6.1f} s", flush=True)
        results = {}
        for name in chosen:
            results[name], seconds, rounds = federated(mesh, agents[1], folder, name)
            print(f"{name:12} {results[name]:6.2f} %  {rounds:3} rounds  {seconds:6.1f} s", flush=True)
        best = max(results, key=results.get)
        for name in {"fedavg": "", best: ""}:
            behind = pooled - results.get(name, pooled)
            require(behind <= POINTS + 1e-9, f"{name} is {behind:.2f} points behind")
        print(f"in one place {pooled:.2f} %, " +
              ", ".join(f"{name} {accuracy:.2f} %" for name, accuracy in results.items()))


if __name__ == "__main__":
    judge(main)
