#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training that has ended goes on as a new job, all asked of a follower: `resume --epochs 9` of a
completed run of 4 epochs begins with its last state, computes the steps of the other 5 alone, and
ends with the tensors, state and measures of 9 epochs in one; so does one from an earlier checkpoint, and one of a run that
was stopped. The new job's file names the old job; what cannot be gone on from is refused.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, noop, require, run, until
from training import outcome, submit, wait_step

END_S = 150
FEW, ALL, LONG = 4, 9, 80  # epochs; a job of so many can be stopped before it has ended


def training(name, epochs):
    return {"api": "shoal/v1", "kind": "train", "name": name,
            "data": {"train": "builtin:digits", "validation": 0.1, "test": "builtin:digits-test"},
            "model": {"input": [1, 28, 28],
                      "layers": ["flatten", {"dense": 32}, "relu", {"dense": 10}]},
            "train": {"optimizer": {"adamw": {"lr": 0.002}}, "batch": 256, "ranks": 4,
                      "epochs": epochs, "seed": 5},
            "resources": {"agents": {"min": 1, "max": 2}},
            "checkpoint": {"every_steps": 50, "keep": 8}}


def resume(mesh, agent, job, *flags):
    out = json.loads(mesh.must(["resume", job, *flags, "--json", "--peer", agent.api]))
    require(out["id"] != job, f"no new job: {out}")
    return out["id"]


def same(what, end, reference):
    require(end["model_digest"] == reference["model_digest"] and
            end["state_digest"] == reference["state_digest"] and
            end["metrics"] == reference["metrics"], f"{what}: {end} and {reference}")


def refused(agent, job, body, status, *words):
    answer = agent.call("POST", f"/jobs/{job}/resume", body)
    text = str(answer)
    require(answer.status == status and all(word in text for word in words), f"{body}: {text}")


def steps(agent, job):
    return [point[0] for point in
            agent.read(f"/jobs/{job}/metrics?name=loss&limit=5000")["series"]["loss"]]


def main(mesh):
    agents = mesh.three()
    follower = next(a for a in agents if a is not agreed_leader(agents))
    whole = outcome(follower, submit(mesh, follower, training("digits", ALL)), END_S)
    old = submit(mesh, follower, training("digits", FEW))
    part = outcome(follower, old, END_S)
    refused(follower, old, {"epochs": FEW}, 400, "epochs", f"has completed {FEW}")
    refused(follower, old, None, 400, "epochs", f"has completed {FEW}")
    refused(follower, old, {"epochs": ALL, "from": 1}, 404, "from", "there are checkpoints of")

    new = resume(mesh, follower, old, "--epochs", ALL)
    same("more epochs", outcome(follower, new, END_S), whole)
    require(min(steps(follower, new)) == part["steps"] + 1,
            f"begins with step {min(steps(follower, new))}, not {part['steps'] + 1}")
    start = follower.job(new)["spec"]["start"]
    require(start["job"] == old and start["step"] == part["steps"], f"start: {start}")
    version = follower.job(new)["unit_list"][0]["model_version"]
    require(version == 3, f"version {version} of the model")

    model = mesh.path("step.safetensors")
    mesh.must(["checkpoints", old, "--get", part["steps"], "-o", model, "--peer", follower.api])
    with open(model, "rb") as file:
        require(file.read() == follower.get("/models/digits:2/file").body,
                "the last checkpoint as a model is not the model")
    kept = mesh.path("step.kept")
    mesh.must(["checkpoints", old, "--get", part["steps"], "--kept", "-o", kept, "--peer",
               follower.api])
    with open(kept, "rb") as file:
        require(file.read(4) == b"SHC1", "not as it is kept")

    early = follower.read(f"/jobs/{old}/checkpoints")["checkpoints"][-1]["step"]
    again = resume(mesh, follower, old, "--epochs", ALL, "--from", early)
    same("from an earlier step", outcome(follower, again, END_S), whole)

    whole = outcome(follower, submit(mesh, follower, training("digits", LONG)), END_S)
    stopped = submit(mesh, follower, training("digits", LONG))
    wait_step(follower, stopped, 60, 60)
    mesh.must(["stop", stopped, "--peer", follower.api])
    until("it is stopped", 30, lambda: follower.job(stopped)["state"] == "stopped")
    same("after a stop", outcome(follower, resume(mesh, follower, stopped), END_S), whole)

    idle = follower.submit(noop("idle", 1))["id"]
    until("it has completed", 30, lambda: follower.job(idle)["state"] == "completed")
    refused(follower, idle, None, 409, "the job is completed", "training")
    print(f"{FEW} epochs and then up to {ALL}, from steps {part['steps']} and {early}, and {LONG} "
          f"after a stop: the tensors and state of one run")


if __name__ == "__main__":
    run(main)
