#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`shoal backup` of an agent of three, while jobs are submitted, holds every job that was acknowledged
before it began. All agents are lost; `shoal restore` makes a directory of it, and one agent started
with --new on that has all those jobs, forms a cluster of its own that another agent joins by the
restored tables, and finishes what waited. Refused: directories that are not empty, a backup without
its last file, the secret of the old cluster, a start with --join. Fast: part of every test run.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import equal_states, finished, noop, require, run, until

JOBS = 40
UNITS = 500
NOT_FOUND, CONFLICT, DENIED = 3, 4, 5


def refused(done, status, *words):
    lines = [line for line in done.stderr.splitlines() if " info: " not in line]
    require(done.returncode == status, f"exit status {done.returncode}, not {status}: {lines}")
    require(len(lines) == 1, f"not one line: {lines}")
    for word in words:
        require(word in lines[0], f"no word of {word}: {lines[0]}")


def restored_agent(mesh, name, data, **options):
    agent = mesh.add(name, **options)
    agent.dir = data
    agent.secret = os.path.join(data, "secret")
    return agent


def main(mesh):
    agents = mesh.three()
    held = []
    for at in range(JOBS):
        held.append(agents[at % 3].submit(noop(f"job-{at}"), f"key-{at}")["id"])
    blocked = agents[0].submit(noop("wide", UNITS))["id"]  # under way when all is lost
    until("agent beta has all jobs", 20, lambda: agents[1].get(f"/jobs/{blocked}").status == 200)
    place = mesh.path("copy")
    mesh.must(["backup", place, "--peer", agents[1].api])
    later = agents[0].submit(noop("later"))["id"]
    refused(mesh.cli("backup", place, "--peer", agents[1].api), CONFLICT, "not empty")
    require(os.path.exists(os.path.join(place, "backup.json")), "no backup.json")
    before = {job: agents[1].job(job)["name"] for job in held}
    mesh.stop()
    for agent in agents:
        agent.process = None

    data = mesh.path("restored")
    refused(mesh.cli("restore", mesh.dir, "--data", data), NOT_FOUND, "no backup")
    refused(mesh.cli("restore", place, "--data", place), CONFLICT, "not empty")
    mesh.must(["restore", place, "--data", data])
    refused(mesh.cli("restore", place, "--data", data), CONFLICT, "not empty")
    refused(mesh.cli("agent", "--data", data, "--new", "--secret", mesh.secret, "--listen",
                     f"127.0.0.1:{mesh.free_port(2)}", "--name", "old"), DENIED, "--secret")
    again = mesh.path("again")
    mesh.must(["restore", place, "--data", again])
    first = restored_agent(mesh, "alpha", again).start()
    until("the restored agent leads", 20, lambda: first.leader() == "alpha")
    require(first.status()["cluster"] != before, "it is of the old cluster")
    for job, name in before.items():
        require(first.job(job)["name"] == name, f"job {job} is another one")
    require(first.get(f"/jobs/{later}").status == 404 or first.job(later)["name"] != "later",
            "the backup has a job of later")
    require(first.submit(noop("job-7"), "key-7")["id"] == held[7], "a key was forgotten")
    for job in held + [blocked]:
        finished(first, job, 90)
    require(set(first.nodes()) == {"alpha"}, f"agents of old are listed: {set(first.nodes())}")
    second = restored_agent(mesh, "beta", mesh.path("fresh"), join=[first])
    second.secret = first.secret
    second.start()
    job = first.submit(noop("new", 20))["id"]
    finished(second, job, 30)
    equal_states([first, second])
    first.kill()
    first.start()
    finished(first, job, 20)
    print(f"{len(held) + 1} of {len(held) + 1} jobs came back on an agent that began a new cluster")


if __name__ == "__main__":
    run(main)
