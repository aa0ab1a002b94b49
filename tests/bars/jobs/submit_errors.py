#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad job files, sent to a follower of three agents: each is answered with 400 and names the field.

The table is the schema itself: an agent writes a job of each kind with all its defaults, and then each
value of it is replaced by what it cannot be (a map; where it is a number, -1 and a text too; where it is
one of some words, another one), each map gets a key that there is none of, and what is required is left
out. No bad file makes a job. One idempotency key is one job whoever is asked, and with another job file
it is refused with 409.
"""
import copy
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, finished, require, run

MODEL = {"input": [1, 28, 28], "layers": [
    {"name": "stem", "conv2d": {"filters": 4, "kernel": 3, "padding": "same"}}, "batchnorm", "relu",
    {"conv2d": {"filters": 4, "kernel": 3, "padding": 1}}, {"add": "stem"}, "gelu", {"maxpool": 2},
    {"avgpool": {"kernel": 2}}, "flatten", {"dropout": 0.1}, {"dense": 10}]}
TRAIN = {"kind": "train", "data": {"train": "builtin:digits", "test": "builtin:digits-test"},
         "model": MODEL}
SCRIPT = {"kind": "exec", "run": [["true"]], "outputs": ["out"], "model_file": "out",
          "abort": ["nan"], "metrics": {"patterns": {"loss": "loss ([0-9.]+)"}},
          "checkpoint": {"files": ["last"], "every": "60s"}}
GOOD = {
    "train": TRAIN,
    "sgd": dict(TRAIN, train={"optimizer": {"sgd": {"momentum": 0.9}}, "schedule": "cosine"}),
    "step": dict(TRAIN, train={"schedule": "step", "classes": list("abcdefghij")}),
    "topk": dict(TRAIN, train={"wire": {"topk": {"fraction": 0.1}}}),
    "gossip": dict(TRAIN, train={"local": {"steps": 5, "average": "gossip"}}),
    "grid": dict(TRAIN, sweep={"method": "grid", "parameters": {"train.seed": [1, 2]}}),
    "hyperband": dict(TRAIN, sweep={"method": "hyperband", "max_resource": 9,
                                    "parameters": {"train.seed": {"int": [1, 9]}}}),
    "federated": dict(TRAIN, data={"train": "dataset:apart"}, federated={
        "rounds": 3, "select": {"fraction": 0.5}, "algorithm": {"fedadam": {"lr": 0.1}},
        "continuation": 0.75, "target": {"accuracy": 0.9}, "patience": 4}),
    "fedbuff": dict(TRAIN, data={"train": "dataset:apart"}, federated={
        "rounds": 3, "select": {"count": 4}, "algorithm": "fedbuff", "weight": "accuracy",
        "target": {"loss": 0.1}}),
    "multi-krum": dict(TRAIN, data={"train": "dataset:apart"}, federated={
        "rounds": 3, "min": 5, "short": "carry",
        "aggregate": {"rule": "multi-krum", "byzantine": 1, "norm_bound": 2}}),
    "clients": {"kind": "exec", "run": [["true"]], "model_file": "m", "predict": [["true"]],
                "federated": {"rounds": 3, "dataset": "apart", "algorithm": "fedavgm"}},
    "speech": {"kind": "train", "data": {"train": "dataset:speech", "audio": {"rate": 8000}},
               "model": {"input": [1, 40, 64], "layers": ["flatten", {"dense": 10}]}},
    "text": {"kind": "train", "data": {"train": "dataset:text", "text": {"context": 8}},
             "model": {"input": [8], "layers": [
                 {"embedding": {"vocab": 9, "width": 4}}, "positions",
                 {"name": "block", "residual": ["layernorm", {"attention": {"heads": 2}}]},
                 {"dense": 9}]}},
    "exec": SCRIPT,
    "random": dict({k: v for k, v in SCRIPT.items() if k != "replicas"},
                   sweep={"method": "random", "trials": 3, "parameters": {"LR": {"uniform": [0, 1]}}}),
    "rl": {"kind": "rl"},
    "noop": {"kind": "noop", "units": 2},
    "needs": {"kind": "noop", "keep": {"results": 2}, "resources": {
        "cpus": 1, "ram": "1GiB", "gpus": 1, "gpu_ram": "1GiB", "disk": "1GiB", "per_node": 2,
        "spread": "pack", "labels": ["disk=nvme"], "nodes": {"allow": ["alpha"], "deny": ["beta"]}}},
    "fine-tune": {"kind": "fine-tune", "from": "digits:1", "data": {"train": "builtin:digits"},
                  "reset": ["dense"], "model": MODEL},
    "evaluate": {"kind": "evaluate", "model": "digits", "data": {"test": "builtin:digits-test"}},
    "predict": {"kind": "predict", "model": "digits:1", "input": "builtin:digits-test"},
    "ensemble": {"kind": "ensemble", "models": "digits", "input": "builtin:digits-test",
                 "combine": ["mean", "vote"], "deadline": "60s"},
    "data-prep": {"kind": "data-prep", "run": [["true"]], "outputs": "points.csv",
                  "dataset": "points"},
}
# Values that are free text, or as many as one likes: only a map is wrong there.
FREE = ("data.label", "train.classes[", "run[", "predict[", "env.", "sweep.parameters.",
        "sweep.resource", "sweep.metric")
# Texts that would fail the unit at its end, or cost its agent dearly, where any other text is right.
FILES = ["model[0].h5", "../model", "/model", "a//b", "a\\b", "x" * 300]
PATTERNS = ["(loss", "loss: {", "(a)\\1 (b)", "([0-9]{1,1025})", "(a{40}){40}", "(\\d+)", "*(a)"]
TEXTS = {"outputs[": FILES, "checkpoint.files[": FILES, "model_file[": FILES + ["*.h5", "model?"],
         "abort[": PATTERNS, "metrics.patterns.": PATTERNS + ["loss", "", "(a{500})" * 5]}
OF_MODELS = ("fine-tune", "evaluate", "predict", "ensemble")
OF_DATASETS = ("speech", "text")
SOURCES = ("data.train", "data.validation", "data.test", "input")
REQUIRED = {"": ["api", "kind", "name"], "train": ["data", "model", "data.train", "model.input",
                                                   "model.layers"],
            "gossip": ["train.local.steps"], "federated": ["federated.rounds"], "text": ["data.text.context"], "exec": ["run"],
            "grid": ["sweep.method", "sweep.parameters"], "random": ["sweep.trials"],
            "hyperband": ["sweep.max_resource"], "fine-tune": ["from", "data", "data.train"],
            "evaluate": ["model"], "predict": ["model", "input"],
            "ensemble": ["models", "input"], "data-prep": ["run", "dataset"]}
PATHS = {  # what else is wrong, with the field that is named and the status
    "data.train": [("a/path", 400), ("builtin:letters", 400), ("dataset:a/b", 400), ("files:beef", 400),
                   ("dataset:nobody-has-it", 404)],
    "data.validation": [(0.6, 400)], "train.batch": [(250, 400)], "train.ranks": [(12, 400)],
    "resources.agents.min": [(33, 400)], "train.optimizer": [("adagrad", 400)],
    "train.wire": [("int4", 400)]}


def leaves(value, path=""):
    """Every value that holds no other, with its path; lists and maps too where they are empty."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{i}]")
    else:
        yield path, value


def maps(value, path=""):
    if isinstance(value, dict):
        yield path
        for key, inner in value.items():
            yield from maps(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from maps(inner, f"{path}[{i}]")


def steps(path):
    """Keys and indices of a path. Names of parameters have dots of their own."""
    head, mark, name = path.partition("sweep.parameters.")
    if mark:
        return ["sweep", "parameters"] + parameter_steps(name)
    words = []
    for word in filter(None, head.split(".")):
        key, *indices = word.replace("]", "").split("[")
        words += [key] * (key != "") + [int(i) for i in indices]
    return words


def parameter_steps(name):
    for known in ("train.seed", "LR"):
        if name.startswith(known):
            return [known] + steps(name[len(known):].lstrip("."))
    return [name]


def edited(spec, path, change):
    """A copy in which change(owner, key) was done to the value at path."""
    out = copy.deepcopy(spec)
    at, words = out, steps(path)
    for word in words[:-1]:
        at = at[word]
    change(at, words[-1])
    return out


def put(value):
    def change(owner, key):
        owner[key] = value
    return change


def remove(owner, key):
    del owner[key]


class Examiner:
    def __init__(self, agent):
        self.agent = agent
        self.count = 0

    def refused(self, spec, field, what, status=400, key=None):
        """The file is answered so, and one of its errors is about the field, or a key in it."""
        answer = self.agent.call("POST", "/jobs", spec)
        require(answer.status == status, f"{what}: {answer}")
        errors = answer.json.get("errors", [answer.json["error"]])
        fields = [e["field"] for e in errors]
        named = [e for e in errors if e["field"].startswith(field) and (not key or e["value"] in (key, "a map"))]
        require(named, f"{what}: {field} is not named but {fields}")
        require(named[0]["message"], f"{what}: no message")
        self.count += 1

    def wrong_values(self, kind, spec):
        for path, value in leaves(spec):
            wrong = [{"no-such-key": 1}]
            free = path.startswith(FREE) or (path.startswith("model.") and path.endswith(".name"))
            # Any text may be a path, and of a model or data that are not there more is said first.
            free = free or (kind in OF_MODELS + OF_DATASETS and path in SOURCES)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if number and not free:
                wrong += [-1, "many"]
            elif not free:
                named = next((texts for begin, texts in TEXTS.items() if path.startswith(begin)), None)
                wrong += named or ["no such: \u00e4"]
            for bad in wrong:
                self.refused(edited(spec, path, put(bad)), path, f"{kind}: {path} = {bad!r}")

    def unknown_keys(self, kind, spec):
        for path in maps(spec):
            if path in ("env", "metrics.patterns", "sweep.parameters"):
                continue  # maps of free names
            bad = edited(spec, path, lambda o, k: o[k].update({"zzz": 1})) if path else dict(spec, zzz=1)
            self.refused(bad, path, f"{kind}: {path}.zzz", key="zzz")

    def missing(self, kind, spec):
        for path in REQUIRED[""] + REQUIRED.get(kind, []):
            self.refused(edited(spec, path, remove), path, f"{kind}: without {path}")


def one_key_one_job(agents, follower):
    spec = {"api": "shoal/v1", "kind": "noop", "name": "once", "units": 2}
    first = follower.call("POST", "/jobs", spec, {"Idempotency-Key": "k-1"})
    require(first.status == 201, f"first: {first}")
    for agent in agents:
        again = agent.call("POST", "/jobs", dict(spec, priority=50), {"Idempotency-Key": "k-1"})
        require(again.status == 200 and again.json["id"] == first.json["id"], f"again: {again}")
        other = agent.call("POST", "/jobs", dict(spec, units=3), {"Idempotency-Key": "k-1"})
        require(other.status == 409 and other.json["error"]["field"] == "Idempotency-Key" and
                other.json["error"]["value"] == "k-1", f"with another file: {other}")
    for bad in ("two words", "k" * 128):
        answer = follower.call("POST", "/jobs", spec, {"Idempotency-Key": bad})
        require(answer.status == 400 and answer.json["error"]["field"] == "Idempotency-Key", str(answer))
    return first.json["id"]


def main(mesh):
    agents = mesh.three()
    leader = agreed_leader(agents)
    follower = next(a for a in agents if a is not leader)
    path = mesh.path("apart.csv", "x,label\n1,a\n2,b\n")
    mesh.must(["dataset", "add", "apart", path, "--local", "--peer", follower.api])
    examiner = Examiner(follower)
    for kind, part in GOOD.items():
        short = dict({"api": "shoal/v1", "name": "job"}, **part)
        whole = follower.call("POST", "/validate", short)
        require(whole.status == 200, f"{kind}: {whole}")
        spec = whole.json["spec"]
        examiner.wrong_values(kind, spec)
        examiner.unknown_keys(kind, spec)
        examiner.missing(kind, spec)
        for path, values in PATHS.items() if kind == "train" else ():
            for bad, status in values:
                examiner.refused(edited(spec, path, put(bad)), path, f"{path} = {bad}", status)
    for text in ("", "[", "{}", "api: shoal/v1\n\tkind: noop\n", "a: &x 1\n"):
        answer = follower.call("POST", "/jobs", text.encode())
        require(answer.status == 400, f"{text!r}: {answer}")
    require(not follower.read("/jobs")["jobs"], "a bad job file made a job")
    finished(follower, one_key_one_job(agents, follower), 30)
    require(len(follower.read("/jobs")["jobs"]) == 1, "one key made two jobs")
    print(f"{examiner.count} bad job files of {len(GOOD)} kinds and methods refused, each naming its field; "
          "one key, one job")


if __name__ == "__main__":
    run(main)
