#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The coordinator of three agents lives on a small file system, which is filled up while jobs are
submitted at all agents. It says that its disk is full, hands over, ends with status 1 and acknowledges
nothing it could not write; another agent coordinates, and the load goes on there. While the disk is full it
cannot be started either, and says why; with room again it comes back as the same agent. No job that
was acknowledged is missing anywhere, and no key made two. Needs to mount a tmpfs. Slow.
"""
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from clients import longest_pause_us, now_us
from mesh import Failed, Skip, Unreachable, agreed_leader, equal_states, finished, noop, require, run, until

SIZE_M = 200
JOBS_AFTER = 30


class Load:
    """Jobs one after the other at one agent, each acknowledged or not, until it is gone."""

    def __init__(self, agent):
        self.agent = agent
        self.jobs = {}
        self.acks = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.submit)
        self.thread.start()

    def submit(self):
        count = 0
        while not self.stopped.is_set():
            key = f"{self.agent.name}-{count}"
            try:
                answer = self.agent.call("POST", "/jobs", noop(key, 2), {"Idempotency-Key": key})
            except (Unreachable, Failed):
                return  # it has ended; the job may or may not be there
            if answer.status in (200, 201):
                self.jobs[key] = answer.json["id"]
                self.acks.append(now_us())
                count += 1

    def end(self):
        self.stopped.set()
        self.thread.join()


def mount(path):
    os.makedirs(path)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_M}m", "tmpfs", path],
                          capture_output=True, check=False)
    if made.returncode != 0:
        raise Skip("no small file system can be mounted here")


def fill(path):
    """Takes all the room there is; the file that does."""
    ballast = os.path.join(path, "ballast")
    with open(ballast, "wb") as out:
        try:
            while True:
                out.write(bytes(1 << 20))
                out.flush()
        except OSError:
            pass
    return ballast


def main(mesh):
    disk = mesh.path("disk")
    mount(disk)
    try:
        act(mesh, disk)
    finally:
        mesh.stop()
        subprocess.run(["umount", "-l", disk], check=True)


def act(mesh, disk):
    small = mesh.add("small")
    small.dir = os.path.join(disk, "data")
    small.start()
    agents = [small]
    for name in ("beta", "gamma"):
        agents.append(mesh.add(name, join=agents[-1:]).start())
    mesh.wait_voters(agents)
    require(agreed_leader(agents) is small, "the agent on the small disk does not coordinate")
    others = agents[1:]
    loads = [Load(agent) for agent in agents]
    until("jobs are acknowledged", 20, lambda: all(len(load.jobs) > 5 for load in loads))
    since = now_us()
    ballast = fill(disk)
    status = small.end(30)
    require(status == 1, f"it ended with status {status}")
    require("the disk is full" in small.journal(), "its journal does not say why")
    require("handed over" in small.journal(), "it ends without handing over")
    leader = agreed_leader(others, 20)
    count = sum(len(load.jobs) for load in loads[1:])
    until("the others go on", 30,
          lambda: sum(len(load.jobs) for load in loads[1:]) > count + JOBS_AFTER)
    for load in loads:
        load.end()
    pause = max(longest_pause_us(load.acks, since, now_us()) for load in loads[1:])

    small.launch()
    require(small.end(20) != 0, "it starts on a full disk")
    lines = [line for line in small.journal().splitlines() if " info: " not in line]
    require("full" in lines[-1] or "No space" in lines[-1], f"and does not say why: {lines[-1]}")
    os.unlink(ballast)
    small.start()
    until("it is alive again", 20, lambda: leader.liveness("small") == "alive")
    equal_states(agents, 30)
    acknowledged = {key: job for load in loads for key, job in load.jobs.items()}
    for agent in agents:
        for key, job in acknowledged.items():
            require(agent.job(job)["name"] == key, f"{agent.name}: job {job} is not {key}")
    again = small.submit(noop(next(iter(acknowledged)), 2), next(iter(acknowledged)))["id"]
    require(again == next(iter(acknowledged.values())), "a key made a second job")
    finished(small, max(acknowledged.values()), 30)
    print(f"{len(acknowledged)} of {len(acknowledged)} acknowledged jobs are on all three agents; "
          f"clients of the others waited {pause / 1000:.0f} ms at most")


if __name__ == "__main__":
    run(main)
