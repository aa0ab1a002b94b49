# SPDX-License-Identifier: Apache-2.0
"""Training jobs for bars: what is trained, what came of it, and who computed how much."""
import gzip
import json
import os
import re
import struct

from mesh import finished, require, shared, until

RANKS = 16
GENERATION = re.compile(r"^.*: step (\d+), \d+ agents?:((?: \S+ \d+-\d+)+)$", re.M)
MEMBER = re.compile(r" (\S+) (\d+)-(\d+)")
MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")

CNN = [{"conv2d": {"filters": 8, "kernel": 5, "padding": "same"}}, "relu", {"maxpool": 2},
       {"conv2d": {"filters": 16, "kernel": 5, "padding": "same"}}, "relu", {"maxpool": 2},
       "flatten", {"dense": 64}, "relu", {"dense": 10}]
CNN_NORM = [{"conv2d": {"filters": 16, "kernel": 5, "padding": "same"}}, "batchnorm", "relu",
            {"maxpool": 2},
            {"conv2d": {"filters": 32, "kernel": 5, "padding": "same"}}, "batchnorm", "relu",
            {"maxpool": 2}, "flatten", {"dense": 128}, "relu", {"dropout": 0.25}, {"dense": 10}]


def job(name, data, layers, optimizer, **train):
    return {"api": "shoal/v1", "kind": "train", "name": name, "data": data,
            "model": {"input": [1, 28, 28], "layers": layers},
            "train": {"optimizer": optimizer, "batch": 256, "ranks": RANKS, "seed": 1, **train},
            "checkpoint": {"every_steps": 100, "keep": 2}}


def digits(epochs, **train):
    data = {"train": "builtin:digits", "validation": 0.1, "test": "builtin:digits-test"}
    return job("digits", data, CNN, {"sgd": {"lr": 0.05, "momentum": 0.9}}, schedule="linear",
               epochs=epochs, **train)


def first_images(path, count, out):
    """Writes the first count images of an IDX training set, unpacked, into the folder out."""
    os.makedirs(out, exist_ok=True)
    for name, head, size in zip(MNIST, (16, 8), (784, 1)):
        with gzip.open(os.path.join(path, name + ".gz")) as packed:
            body = bytearray(packed.read(head + count * size))
        body[4:8] = struct.pack(">i", count)
        with open(os.path.join(out, name), "wb") as file:
            file.write(body)
    return out


def mnist_part(images, folder, **train):
    """One epoch over the first images of MNIST, with batch normalisation and dropout."""
    part = first_images(shared("data", "mnist"), images, folder)
    return job("mnist", {"train": part, "validation": 0.1}, CNN_NORM, {"adamw": {"lr": 0.002}},
               schedule="cosine", epochs=1, **train)


def text_job(path, blocks=2, width=64, context=64, epochs=1, **train):
    """A transformer on the characters of a file, with its steps; a tenth is held out. A rank has 16
    windows, which fill the kernels' lanes."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    vocab = len(set(text))
    windows = (len(text) - 1) // context
    training = windows - round(windows * 0.1)
    block = [{"residual": ["layernorm", {"attention": {"heads": 4}}, {"dropout": 0.1}]},
             {"residual": ["layernorm", {"dense": 4 * width}, "gelu", {"dense": width},
                           {"dropout": 0.1}]}]
    layers = [{"embedding": {"vocab": vocab, "width": width}}, "positions", *(block * blocks),
              "layernorm", {"dense": vocab}]
    spec = {"api": "shoal/v1", "kind": "train", "name": "text",
            "data": {"train": path, "validation": 0.1, "text": {"context": context}},
            "model": {"input": [context], "layers": layers},
            "train": {"optimizer": {"adamw": {"lr": 0.003}}, "schedule": "cosine", "batch": 256,
                      "ranks": RANKS, "seed": 1, "epochs": epochs, **train},
            "checkpoint": {"every_steps": 100, "keep": 2}}
    return spec, training // spec["train"]["batch"] * epochs


def submit(mesh, agent, spec):
    """Through the command line, which uploads what the job names; the id."""
    path = mesh.path(f"{spec['name']}.json", json.dumps(spec))
    text = mesh.must(["submit", path, "--peer", agent.api, "--json"], seconds=120)
    return json.loads(text)["id"]


def outcome(agent, job_id, seconds):
    """What a job left behind once it has completed."""
    unit = finished(agent, job_id, seconds)["unit_list"][0]
    return unit["outcome"]


def step_of(agent, job_id):
    progress = agent.job(job_id)["progress"]
    return progress["step"] if progress else 0


def members(agent, job_id):
    """Names of the agents that the job's first unit is placed on."""
    units = agent.job(job_id)["unit_list"]
    return {member["name"] for member in units[0].get("members", [])}


def wait_step(agent, job_id, step, seconds):
    """Until the job has completed that step; Failed when it ends before."""
    def probe():
        row = agent.job(job_id)
        require(row["state"] in ("waiting", "running"), f"job {job_id} is {row['state']} already")
        return (row["progress"] or {}).get("step", 0) >= step
    until(f"step {step} of job {job_id}", seconds, probe)


def generations(agent, job_id):
    """(step where it begins, who has which ranks) of each, as far as this agent has the job's log."""
    text = agent.get(f"/jobs/{job_id}/logs?limit=1000&format=text").body.decode()
    return [(int(step), MEMBER.findall(who)) for step, who in GENERATION.findall(text)]


class Work:
    """Who computed how many rank-steps, from the lines in which each generation tells where it
    begins and who has which ranks."""

    def __init__(self, agent, job_id, steps):
        rows = generations(agent, job_id)
        require(rows, f"{agent.name}: no generation in the log of job {job_id}")
        self.begins = [step for step, _ in rows]
        self.done = {}
        for (step, who), end in zip(rows, self.begins[1:] + [steps]):
            for name, low, high in who:
                ranks = int(high) + 1 - int(low)
                self.done[name] = self.done.get(name, 0) + ranks * (end - step)

    def least_share(self, names):
        """Of an equal part of all the work, the least that one of these did."""
        equal = sum(self.done.values()) / len(names)
        return min(self.done.get(name, 0) / equal for name in names)
