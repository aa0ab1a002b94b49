#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A training job on all three agents gives way to one of higher priority that was submitted to a
follower: it is asked for a checkpoint, its first, leaves one of the step where it stands, waits, and goes
on from exactly there when the other has ended: no step is computed twice, and it ends with the
bytes that it has undisturbed.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, require, run, until
from training import outcome, submit, wait_step

END_S = 150
ASKED = "asked to give way to a unit of higher priority"
GAVE_WAY = "waits again: a unit of higher priority needed its agents"


def training(name, epochs, agents, **more):
    return {"api": "shoal/v1", "kind": "train", "name": name,
            "data": {"train": "builtin:digits", "validation": 0.1},
            "model": {"input": [1, 28, 28],
                      "layers": ["flatten", {"dense": 48}, "relu", {"dense": 10}]},
            "train": {"optimizer": {"sgd": {"lr": 0.05, "momentum": 0.9}}, "batch": 256,
                      "ranks": 4, "epochs": epochs, "seed": 3},
            "resources": {"agents": agents, "cpus": 1},
            "checkpoint": {"every_steps": 100000, "keep": 4}, **more}


def event_of(agent, job, cause):
    found = [event for event in agent.job(job)["history"] if event["cause"] == cause]
    return found[0] if found else None


def steps_told(agent, job):
    """Of the points of the loss, in the order of their times."""
    points = agent.read(f"/jobs/{job}/metrics?name=loss&limit=5000")["series"]["loss"]
    return [point[0] for point in points]


def main(mesh):
    agents = mesh.three(extra=["--threads", "1"])
    follower = next(a for a in agents if a is not agreed_leader(agents))
    reference = outcome(follower, submit(mesh, follower, training("undisturbed", 40, 3)), END_S)
    low = submit(mesh, follower, training("low", 40, 3, priority=20))
    wait_step(follower, low, 40, 60)
    require(not follower.read(f"/jobs/{low}/checkpoints")["checkpoints"], "it has a checkpoint")
    high = submit(mesh, follower, training("high", 2, 1, priority=90))
    until("it gives way", 60, lambda: event_of(follower, low, GAVE_WAY))
    asked, gave = event_of(follower, low, ASKED), event_of(follower, low, GAVE_WAY)
    kept = follower.read(f"/jobs/{low}/checkpoints")["checkpoints"][0]["step"]
    until("the series are written", 10, lambda: max(steps_told(follower, low)) >= kept)
    require(max(steps_told(follower, low)) == kept,
            f"steps up to {max(steps_told(follower, low))} were computed, {kept} kept")
    outcome(follower, high, END_S)
    end = outcome(follower, low, END_S)
    require(end["model_digest"] == reference["model_digest"] and
            end["state_digest"] == reference["state_digest"], f"{end} and {reference}")
    log = follower.get(f"/jobs/{low}/logs?limit=1000&format=text").body.decode()
    require(f"goes on from the checkpoint after step {kept}" in log, log)
    took = (gave["at_us"] - asked["at_us"]) / 1e6
    print(f"gave way {took:.2f} s after it was asked, at step {kept} of {end['steps']}, "
          "and went on from there")


if __name__ == "__main__":
    run(main)
