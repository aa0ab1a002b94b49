#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replicas of a script, changed through a follower: five asked for are exactly five though an agent
that works on one is killed; seven asked for when the job has completed make exactly two more; fewer
than are committed are refused with the numbers. Of a job that waits, those that wait are stopped,
and its priority can be changed. The history is the same under the next coordinator.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, finished, noop, require, run, until
from training import submit

UNITS, MORE = 5, 7
END_S = 120
SCRIPT = "import os, time\ntime.sleep(1.5)\nopen('model', 'w').write(os.environ['SHOAL_UNIT'])\n"


def job_of(mesh):
    mesh.path("package/work.py", SCRIPT)
    return {"api": "shoal/v1", "kind": "exec", "name": "replicas",
            "package": mesh.path("package"), "run": [["python3", "work.py"]],
            "model_file": "model", "replicas": UNITS, "retries": 0}


def committed(agent, job):
    history = agent.job(job)["history"]
    return [event["unit"] for event in history if event["cause"] == "committed its result"]


def members(agent, job):
    return {m["name"] for unit in agent.job(job)["unit_list"] for m in unit.get("members", [])}


def refused(agent, job, body, status, *words):
    answer = agent.call("PATCH", f"/jobs/{job}", body)
    text = str(answer)
    require(answer.status == status and all(word in text for word in words), f"{body}: {text}")


def more_and_fewer(mesh, agents, follower):
    job = submit(mesh, follower, job_of(mesh))
    until("units run", 30, lambda: len(members(follower, job)) >= 2)
    victim = next(a for a in agents if a.name in members(follower, job) and a is not follower)
    victim.kill()
    finished(follower, job, END_S)
    require(sorted(committed(follower, job)) == list(range(UNITS)), str(committed(follower, job)))
    refused(follower, job, {"replicas": UNITS - 1}, 409, "5 are committed already")
    refused(follower, job, {"replicas": 0}, 400, "replicas", "from 1 to 10000")
    refused(follower, job, {"units": 9}, 400, "units", "no such field")
    refused(follower, job, {}, 400, "replicas or priority")
    victim.start()
    out = mesh.must(["set", job, f"replicas={MORE}", "--peer", follower.api])
    require(f"5 of {MORE} replicas completed" in out, out)
    finished(follower, job, END_S)
    row = follower.job(job)
    require(sorted(committed(follower, job)) == list(range(MORE)), str(committed(follower, job)))
    require(row["units_completed"] == MORE and row["units"] == MORE, f"units: {row['units']}")
    models = [m for m in follower.read("/models")["models"] if m["name"] == "replicas"]
    require(len(models) == MORE, f"{len(models)} models")
    return job


def waiting(mesh, follower):
    job = follower.submit(dict(noop("large", 6), priority=10, resources={"cpus": 1000}))["id"]
    mesh.must(["set", job, "replicas=2", "priority=80", "--peer", follower.api])
    row = follower.job(job)
    states = [unit["state"] for unit in row["unit_list"]]
    require(states == ["waiting"] * 2 + ["stopped"] * 4, f"{states}")
    require(row["priority"] == 80 and row["replicas"] == 2, f"priority {row['priority']}")
    until("why says so", 10, lambda: any("its own 80.0" in line for line in follower.why(job)))
    mesh.must(["stop", job, "--peer", follower.api])
    refused(follower, job, {"priority": 1}, 409, "stopped", "waiting, running")


def main(mesh):
    agents = mesh.three(extra=["--allow-commands"])
    leader = agreed_leader(agents)
    follower = next(a for a in agents if a is not leader)
    job = more_and_fewer(mesh, agents, follower)
    waiting(mesh, follower)
    before = follower.job(job)["history"]
    leader = agreed_leader(agents)
    asked = next(a for a in agents if a is not leader)
    leader.kill()
    until("another coordinator", 30, lambda: asked.leader() not in (None, leader.name))
    require(asked.job(job)["history"] == before, "another history under the next coordinator")
    print(f"exactly {UNITS} under a kill, exactly {MORE - UNITS} more after; "
          f"{len(before)} events kept")


if __name__ == "__main__":
    run(main)
