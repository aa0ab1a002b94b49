#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Five jobs of one name that keep the results of two, told to a follower of three agents: two keep
them, the outputs of the others, their series and log lines go from every agent, with the space on the
disk; nothing that a job or a model names goes, nor an upload that no job names yet, however often the
collector runs, and what is in use is fetched and used meanwhile. A removed job leaves nothing.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, finished, require, run, until

BYTES = 12_000_000
JOBS = 5
KEPT = 2
OPTIONS = ["--allow-commands", "--collect-grace", "1s", "--collect-every", "2s",
           "--keep-uploads", "1h"]


def script(name, keep):
    return {"api": "shoal/v1", "kind": "exec", "name": name, "keep": {"results": keep},
            "run": [f"head -c {BYTES} /dev/urandom > out; echo 'SHOAL {{\"step\": 1, \"loss\": 1}}'"],
            "outputs": ["out"]}


def on_disk(agent):
    total = 0
    for folder, _, names in os.walk(agent.dir):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(folder, name))
            except FileNotFoundError:
                pass  # compacted away meanwhile
    return total


def outputs(agent, job):
    answer = agent.get(f"/jobs/{job}/units/0/outputs", timeout=60)
    return len(answer.body) if answer.status == 200 else answer.status


def held(agent):
    """Bytes of blobs that each agent holds."""
    answer = agent.call("POST", "/gc", {"dry_run": True}, timeout=60)
    require(answer.status == 200, f"gc: {answer}")
    nodes = {n["name"]: n for n in answer.json["nodes"]}
    require(all("code" not in n for n in nodes.values()), f"{answer.json}")
    return nodes


def keeps_two(mesh, agents, follower):
    ids = []
    for _ in range(JOBS):
        ids.append(follower.submit(script("study", KEPT))["id"])
        finished(follower, ids[-1], 60)
    gone = [follower.job(i).get("results_gone", False) for i in ids]
    require(gone == [True] * (JOBS - KEPT) + [False] * KEPT, f"results gone of {gone}")
    until("every agent holds the outputs of two jobs", 30, lambda: all(
        KEPT * BYTES <= n["bytes"] < (KEPT + 1) * BYTES for n in held(follower).values()))
    until("the space is on the disk again", 30,
          lambda: all(on_disk(a) < (KEPT + 2) * BYTES for a in agents))
    for job in ids[-KEPT:]:
        require(outputs(follower, job) > BYTES, f"outputs of {job}: {outputs(follower, job)}")
    for job in ids[:-KEPT]:
        require(outputs(follower, job) == 410, f"outputs of {job}: {outputs(follower, job)}")
        require(follower.job(job)["state"] == "completed", "its row and history stay")
    return ids


def removed_leaves_nothing(mesh, agents, follower, ids):
    for job in ids:
        answer = follower.call("DELETE", f"/jobs/{job}")
        require(answer.status == 200, f"removing {job}: {answer}")
        require(follower.get(f"/jobs/{job}").status == 404, f"job {job} is still there")
    until("no agent holds a blob of them", 30,
          lambda: all(n["bytes"] < BYTES for n in held(follower).values()))
    until("the disk has the space", 30, lambda: all(on_disk(a) < 3 * BYTES for a in agents))
    until("nothing is left to collect", 30, lambda: all(
        n["jobs"] == 0 and n["loose_blobs"] == 0 for n in held(follower).values()))


def in_use_stays(agents, follower):
    """Uploads wait for their job, and jobs keep what they need, while collectors run all the time."""
    package = os.urandom(200_000)
    digest = follower.call("PUT", "/blobs", package).json["digest"]
    passes = follower.status()["garbage"]["at_us"]
    until("three more passes of the collector", 30, lambda: sum(
        1 for a in agents if a.status()["garbage"]["at_us"] > passes + 6_000_000) == len(agents))
    found = held(follower)
    require(sum(n["leased_blobs"] for n in found.values()) >= 2, f"an upload went: {found}")
    again = agents[0].call("PUT", "/blobs", package)
    require(again.json["digest"] == digest, f"{again}")
    job = follower.submit(script("open", 1))["id"]
    finished(follower, job, 60)
    stop = time.monotonic() + 8
    while time.monotonic() < stop:  # a dozen passes on three agents
        for agent in agents:
            require(outputs(agent, job) > BYTES, f"{agent.name}: {outputs(agent, job)}")
    return job


def main(mesh):
    agents = mesh.three(extra=OPTIONS)
    leader = agreed_leader(agents)
    follower = next(a for a in agents if a is not leader)
    ids = keeps_two(mesh, agents, follower)
    job = in_use_stays(agents, follower)
    removed_leaves_nothing(mesh, agents, follower, ids + [job])
    done = mesh.must(["gc", "--dry-run", "--peer", follower.api])
    require(all(a.name in done for a in agents), done)
    figures = mesh.must(["status", "--json", "--peer", follower.api])
    require('"garbage"' in figures, "no figures in status")
    print(f"{KEPT} of {JOBS} results kept on {len(agents)} agents, the space of the others is free")


if __name__ == "__main__":
    run(main)
