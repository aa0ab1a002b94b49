#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models by name and version, told to a follower of three agents: listed with what they measured, shown
with the job, the job file's digest and the digests of the data that they come from and with who holds
them now, fetched byte for byte, removed. A model that an unfinished job needs is not removed; a
removed version is not given again; a model outlives the job that made it. What a job left that was
stopped early is a version that only its number means.
"""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, finished, require, run, until

OPTIONS = ["--allow-commands"]


def script(text, **more):
    return dict({"api": "shoal/v1", "kind": "exec", "name": "net", "model_file": "net.bin",
                 "run": [f"echo {text} > net.bin"]}, **more)


def digest_of(answer):
    require(answer.status == 200, f"{answer}")
    return hashlib.blake2b(answer.body, digest_size=32).hexdigest()


def remove(agent, model, status):
    answer = agent.call("DELETE", f"/models/{model}")
    require(answer.status == status, f"removing {model}: {answer}")
    return answer


def make(follower, count):
    jobs = []
    for number in range(1, count + 1):
        jobs.append(follower.submit(script(f"weights-{number}"))["id"])
        finished(follower, jobs[-1], 60)
    return jobs


def stop_early(follower, name):
    """A version of what a script had made when it was stopped."""
    job = follower.submit(script("half", name=name, run=["echo half > net.bin; echo ready; exec sleep 1000"]))["id"]
    until(f"job {job} is at work", 60, lambda: "ready" in str(follower.get(f"/jobs/{job}/logs").body))
    require(follower.call("POST", f"/jobs/{job}/stop").status == 202, "stopping")
    finished(follower, job, 20, "stopped")


def halves(follower):
    stop_early(follower, "net")
    require(follower.read("/models/net:5")["partial"], "net:5 is whole")
    for name in ("net", "net@latest"):
        require(follower.read(f"/models/{name}")["version"] == 4, f"{name} is one that was stopped early")
    stop_early(follower, "half")
    answer = follower.get("/models/half")
    require(answer.status == 404 and "half:1" in answer.json["error"]["message"], f"{answer}")
    require(b"half" in follower.get("/models/half:1/file").body, "half:1 is not what the script left")


def main(mesh):
    agents = mesh.three(extra=OPTIONS)
    leader = agreed_leader(agents)
    follower = next(a for a in agents if a is not leader)
    jobs = make(follower, 3)
    listed = [m for m in follower.read("/models")["models"] if m["name"] == "net"]
    require([m["version"] for m in listed] == [1, 2, 3], f"{listed}")
    shown = follower.read("/models/net:2")
    row = follower.job(jobs[1])
    require(shown["job"] == jobs[1] and not shown["job_removed"], f"{shown}")
    require(shown["spec_digest"] == row["spec_digest"], f"{shown['spec_digest']}")
    until("three agents hold it", 20,
          lambda: len(follower.read("/models/net:2")["holders"]) == 3)
    for agent in agents:
        require(digest_of(agent.get("/models/net:2/file")) == shown["file_digest"],
                f"{agent.name}: other bytes")
    require(b"weights-3" in follower.get("/models/net/file").body, "net is not the newest version")

    # A job that needs version 2 and cannot run: more agents than there are.
    user = follower.submit(script("x", name="user", package=f"files:{shown['file_digest']}",
                                  resources={"agents": 8}))["id"]
    answer = remove(follower, "net:2", 409)
    require(answer.code() == "CONFLICT", f"{answer}")
    remove(follower, "net", 409)
    require(follower.get("/models/net:1").status == 200, "one of them went")
    require(follower.call("POST", f"/jobs/{user}/stop").status == 202, "stopping")
    finished(follower, user, 20, "stopped")
    remove(follower, "net:3", 200)
    remove(follower, "net:3", 404)
    remove(follower, "net:x", 400)
    require(follower.read("/models/net")["version"] == 2, "not the newest that is left")
    again = follower.submit(script("weights-4"))["id"]
    finished(follower, again, 60)
    require(follower.read("/models/net")["version"] == 4, "a version was given again")

    halves(follower)

    require(follower.call("DELETE", f"/jobs/{jobs[1]}").status == 200, "removing the job")
    orphan = leader.read("/models/net:2")
    require(orphan["job"] == jobs[1] and orphan["job_removed"], f"{orphan}")
    require(digest_of(leader.get("/models/net:2/file")) == shown["file_digest"], "other bytes")
    mesh.must(["model", "remove", "net", "--peer", follower.api])
    left = [m for m in leader.read("/models")["models"] if m["name"] == "net"]
    require(not left, f"{left}")
    print("4 versions, and two halves: listed, shown, fetched from 3 agents, kept while needed, removed")


if __name__ == "__main__":
    run(main)
