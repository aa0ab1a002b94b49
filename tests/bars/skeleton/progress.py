#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Once any agent has shown where a running job stands, every agent shows it at every poll until the
job ends, with checkpoints after every second step, and the step never goes back. Fast: part of every
test run.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Failed, require, run, until
from training import digits, submit

FIELDS = ("loss", "accuracy", "epoch", "samples_per_s")
SECONDS = 120
POLLS = 50


def often_kept():
    spec = digits(4)
    spec["checkpoint"] = {"every_steps": 2, "keep": 1}
    return spec


def rows_of(agents, job_id):
    """The row of the job in either list of each agent; None once it has ended."""
    for agent in agents:
        row = agent.job(job_id)
        listed = next(r for r in agent.read("/jobs")["jobs"] if r["id"] == job_id)
        for seen in (row, listed):
            if seen["state"] != "running":
                return
            yield agent, seen["progress"]


def main(mesh):
    agents = mesh.three()
    job_id = submit(mesh, agents[2], often_kept())
    until("the first step is shown", 60, lambda: agents[0].job(job_id)["progress"])
    deadline = time.monotonic() + SECONDS
    polls = 0
    step = 0
    while agents[0].job(job_id)["state"] == "running":
        if time.monotonic() > deadline:
            raise Failed(f"job {job_id} does not end")
        for agent, progress in rows_of(agents, job_id):
            require(progress, f"{agent.name} shows nothing after step {step}")
            require(progress["step"] >= step, f"{agent.name}: {progress} after step {step}")
            require(all(progress[name] is not None for name in FIELDS), f"{agent.name}: {progress}")
            step = progress["step"]
            polls += 1
    require(polls >= POLLS, f"only {polls} polls while the job ran")
    print(f"{polls} polls up to step {step}, none of them empty")


if __name__ == "__main__":
    run(main)
