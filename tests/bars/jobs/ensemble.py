#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ensembles, asked of a follower of three agents. Four models of a script that say 1, 2, 3 and 4: mean
2.5, median 2.5, whatever script prints them as; versions that come later change nothing. A member
that fails is counted and the others answer; so is one that is late when the deadline comes. With the
coordinator killed in the middle the answer is the same, from any agent that is left. Models that
shoal trained answer with classes.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Unreachable, agreed_leader, finished, require, run, until

END_S = 60
PREDICT = """#!/bin/sh
read -r say < "$SHOAL_MODEL"
read -r input < "$SHOAL_INPUT"
case $say in
1) echo "SHOAL {\\"prediction\\": 1}" ;;
2) echo "noise"; echo "PredictedBuffer=9.5"; echo "PredictedBuffer=2" ;;
3) echo "PredictedValue=3e0" ;;
4) echo "SHOAL {\\"prediction\\": 4.0}" ;;
bad) echo "no model"; exit 3 ;;
slow) echo waiting > "$SHOAL_WORKDIR/.shoal/waiting"; exec tail -f /dev/null ;;
*) echo "SHOAL {\\"prediction\\": $say}" ;;
esac
test "$input" = question
"""


def scripts(name, says):
    """A job whose units leave the files that say so."""
    cases = " ".join(f"{i}) echo {say} > model ;;" for i, say in enumerate(says))
    return {"api": "shoal/v1", "kind": "exec", "name": name, "package": "package",
            "run": [f"case $SHOAL_UNIT in {cases} esac"], "model_file": "model",
            "predict": [["./predict.sh"]], "replicas": len(says)}


class Cluster:
    def __init__(self, mesh):
        self.mesh = mesh
        self.agents = mesh.three(extra=["--allow-commands"])
        self.leader = agreed_leader(self.agents)
        self.follower = next(a for a in self.agents if a is not self.leader)
        os.makedirs(mesh.path("package"))
        os.chmod(mesh.path("package/predict.sh", PREDICT), 0o755)
        mesh.path("question.txt", "question\n")

    def submit(self, job):
        path = self.mesh.path(f"{job['name']}.json", json.dumps(job))
        out = self.mesh.must(["submit", path, "--json", "--peer", self.follower.api])
        return json.loads(out)["id"]

    def make(self, name, says):
        finished(self.follower, self.submit(scripts(name, says)), END_S)
        # Units commit in any order: version and saying, as the model files have it.
        found = {}
        for version in range(1, len(says) + 1):
            answer = self.follower.get(f"/models/{name}:{version}/file")
            found[answer.body.decode().strip()] = version
        require(set(found) == {str(say) for say in says}, f"{name}: {found}")
        return found

    def ask(self, name, models, **more):
        return self.submit({"api": "shoal/v1", "kind": "ensemble", "name": name, "models": models,
                            "input": "question.txt", **more})

    def result(self, job):
        return self.follower.read(f"/jobs/{job}/result")


def tally(result):
    return result["answered"], result["failures"], result["pending"]


def exact_numbers(c):
    c.make("four", [1, 2, 3, 4])
    job = c.ask("four-say", "four")
    finished(c.follower, job, END_S)
    result = c.result(job)
    require(tally(result) == (4, 0, 0), f"{result}")
    require(result["mean"] == [2.5] and result["median"] == [2.5], f"{result}")
    require(sorted(m["values"][0] for m in result["members"]) == [1, 2, 3, 4], f"{result}")
    others = [a for a in c.agents if a is not c.follower]
    require(all(a.read(f"/jobs/{job}/result") == result for a in others), "agents differ")
    spec = c.follower.job(job)["spec"]["models"]
    require(len(spec) == 4 and all(m["file"] for m in spec), f"resolved: {spec}")
    shown = c.mesh.must(["result", job, "--peer", c.follower.api])
    require("4 answered" in shown and "2.5" in shown, shown)
    words = ["predict", "four", c.mesh.path("question.txt"), "--ensemble", "--peer", c.follower.api]
    require("4 answered" in c.mesh.must(words), "predict --ensemble")
    words[1] = "four:1,four@latest"
    two = json.loads(c.mesh.must([*words, "--json", "--deadline", "30s"]))
    require([m["version"] for m in two["members"]] == [1, 4] and two["answered"] == 2, f"{two}")
    none = c.mesh.cli(*words[:1], "absent", *words[2:])
    require(none.returncode == 3 and "absent" in none.stderr, f"{none}")


def later_versions(c):
    """One key is one job, and the job's models are those that there were."""
    digest = c.follower.call("PUT", "/blobs", b"nothing").json["digest"]
    files = c.follower.job("four-say")["spec"]["input"]
    job = {"api": "shoal/v1", "kind": "ensemble", "name": "keyed", "models": "four",
           "input": files}
    first = c.follower.submit(job, key="once")["id"]
    finished(c.follower, first, END_S)
    finished(c.follower, c.submit(scripts("four", [7])), END_S)
    require(c.leader.submit(job, key="once")["id"] == first, "a second job under one key")
    require(len(c.follower.job(first)["spec"]["models"]) == 4, "a model that came later")
    other = c.follower.call("POST", "/jobs", {**job, "combine": ["mean"]},
                            {"Idempotency-Key": "once"})
    require(other.status == 409, f"another job under one key: {other}")
    second = c.follower.submit({**job, "input": f"files:{digest}"}, key="twice")
    require(len(c.follower.job(second["id"])["spec"]["models"]) == 5, "five versions by now")


def forms_of_numbers(c):
    versions = c.make("forms", ["-7", "1e-3", "4.25E+10"])
    job = c.ask("forms-say", "forms")
    finished(c.follower, job, END_S)
    said = {m["version"]: m["values"] for m in c.result(job)["members"]}
    wanted = {versions["-7"]: [-7], versions["1e-3"]: [0.001], versions["4.25E+10"]: [4.25e10]}
    require(said == wanted, f"{said}, not {wanted}")


def one_fails(c):
    versions = c.make("three", [1, 3, "bad"])
    job = c.ask("three-say", "three", retries=0)
    row = finished(c.follower, job, END_S)
    result = c.result(job)
    require(row["state"] == "completed" and tally(result) == (2, 1, 0), f"{result}")
    require(result["mean"] == [2] and result["median"] == [2], f"{result}")
    bad = next(m for m in result["members"] if m["version"] == versions["bad"])
    require(bad["state"] == "failed" and "values" not in bad, f"{bad}")


def one_is_late(c):
    versions = c.make("slow", [5, "slow"])
    job = c.ask("slow-say", "slow", deadline="4s")
    row = finished(c.follower, job, END_S)
    result = c.result(job)
    require(tally(result) == (1, 1, 0) and result["mean"] == [5], f"{result}")
    late = next(m for m in result["members"] if m["version"] == versions["slow"])
    require(late["state"] == "late", f"{late}")
    span = (row["ended_us"] - row["submitted_us"]) / 1e6
    require(4 <= span < 8, f"ended after {span} s, not at the deadline of 4 s")


def trained_models(c):
    job = {"api": "shoal/v1", "kind": "train", "name": "line",
           "data": {"train": "line.csv", "validation": 0},
           "model": {"input": [1], "layers": [{"dense": 2}]},
           "train": {"batch": 8, "ranks": 2, "epochs": 1}}
    c.mesh.path("line.csv", "x,side\n" + "".join(f"{i},{'a' if i < 16 else 'b'}\n"
                                                  for i in range(32)))
    c.mesh.path("ask.csv", "x\n1\n31\n7\n")
    for seed in (1, 2):
        job["train"]["seed"] = seed
        finished(c.follower, c.submit(job), END_S)
    good = c.follower.read("/models/line:1")
    rot = c.follower.call("PUT", "/blobs", b"this is no model").json["digest"]
    spec = {"api": "shoal/v1", "kind": "ensemble", "name": "line-say", "input": "ask.csv",
            "models": ["line:1", "line:2"]}
    job_id = c.submit(spec)
    finished(c.follower, job_id, END_S)
    both = c.result(job_id)
    require(tally(both) == (2, 0, 0) and both["samples"] == 3 and both["classes"] == ["a", "b"],
            f"{both}")
    require(len(both["vote"]) == 3 and all(abs(sum(row) - 1) < 1e-6 for row in both["mean"]),
            f"{both}")
    spec["models"][1] = {"name": "line", "version": 2, "file": rot, "job": good["job"],
                         "script": False}
    answer = c.follower.call("POST", "/jobs", {**spec, "input": "builtin:digits"})
    require(answer.status == 409, f"a version with another file is taken: {answer}")


def coordinator_dies(c):
    c.make("again", [1, 2, 3, 4, "slow"])
    job = c.ask("again-say", "again", deadline="12s")
    until("some members have answered", 20, lambda: c.result(job)["answered"] >= 1)
    c.leader.kill()
    left = [a for a in c.agents if a is not c.leader]
    row = finished(c.follower, job, END_S)
    require(row["state"] == "completed", f"{row['state']}")

    def probe():
        try:
            return [a.read(f"/jobs/{job}/result") for a in left]
        except Unreachable:
            return None
    first, second = until("both that are left answer", 20, probe)
    require(first == second and tally(first) == (4, 1, 0), f"{first}\n{second}")
    require(first["mean"] == [2.5] and first["median"] == [2.5], f"{first}")


def main(mesh):
    c = Cluster(mesh)
    for check in (exact_numbers, later_versions, forms_of_numbers, one_fails, one_is_late, trained_models,
                  coordinator_dies):
        check(c)
    print("ensembles of 4, 3, 3, 2, 2 and 5 members")


if __name__ == "__main__":
    run(main)
