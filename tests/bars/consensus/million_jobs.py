#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""10^6 finished jobs in the tables (--short: 10^5). Two agents of one-agent clusters, one with 10^3
jobs and one with all of them, answer the same calls in turns: a page of the list, the list of running
and of failed jobs, a job by number and by name, a submission. No median of the large one is more than
1.5 times that of the small one. Then three agents with as many jobs start: they have a coordinator,
and another one after kill -9, within the times of empty agents, and keep it: a coordinator that stalls
over its tables would lose its term.
"""
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, agreed_leader, build_dir, equal_states, finished, judge, noop, require, until

SMALL = 1000
COUNT = 100000 if "--short" in sys.argv else 1000000
RATIO = 1.5
ROUNDS = 30
CALLS = 10
STEADY_S = 5
LEADERLESS_S = 3


def fill(agents, count):
    """Stops the agents, fills their tables alike, and starts them again."""
    if len(agents) > 1:
        equal_states(agents)
    first = max(agent.status()["applied_index"] for agent in agents) + 1000
    term = max(agent.status()["term"] for agent in agents) + 1
    for agent in agents:
        agent.pause()
    for agent in agents:
        agent.kill()
    program = os.path.join(build_dir(True), "bin", "fill_jobs")
    fillers = [subprocess.Popen([program, os.path.join(agent.dir, "state"), str(first), str(term),
                                 str(count)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True) for agent in agents]
    for filler in fillers:
        said, _ = filler.communicate(timeout=1800)
        require(filler.returncode == 0, f"fill_jobs: {said}")
    start = time.monotonic()
    for agent in agents:
        agent.launch()
    for agent in agents:
        agent.wait_up()
    agreed_leader(agents, 30)
    return first, time.monotonic() - start


class Client:
    """One kept connection to one agent."""

    def __init__(self, agent, first, count):
        self.link = http.client.HTTPConnection("127.0.0.1", agent.api_port, timeout=30)
        self.first = first
        self.count = count
        self.random = random.Random(1)

    def call(self, method, path, body=None):
        begun = time.perf_counter()
        self.link.request(method, "/api/v1" + path, body)
        reply = self.link.getresponse()
        text = reply.read()
        took = time.perf_counter() - begun
        require(reply.status in (200, 201), f"{method} {path}: {reply.status} {text[:300]}")
        return took

    def job(self):
        return self.first + 3 * self.random.randrange(self.count)


OPERATIONS = {
    "list": lambda c: c.call("GET", "/jobs?limit=50"),
    "list running": lambda c: c.call("GET", "/jobs?state=running,waiting"),
    "list failed": lambda c: c.call("GET", "/jobs?state=failed"),
    "get": lambda c: c.call("GET", f"/jobs/{c.job()}"),
    "get by name": lambda c: c.call("GET", f"/jobs/filled-{c.random.randrange(1000)}"),
    "submit": lambda c: c.call("POST", "/jobs", json.dumps(noop("more", 1))),
}


def flat():
    with Mesh(release=True) as small_mesh, Mesh(release=True) as large_mesh:
        clients = []
        for mesh, count in ((small_mesh, SMALL), (large_mesh, COUNT)):
            agent = mesh.add("alone").start()
            finished(agent, agent.submit(noop("first", 1))["id"], 20)
            first, _ = fill([agent], count)
            require(agent.status()["counts"]["jobs"]["completed"] == count + 1, "jobs are missing")
            clients.append(Client(agent, first, count))
        worst = 0
        for name, operation in OPERATIONS.items():
            took = ([], [])
            for _ in range(ROUNDS):
                for client, times in zip(clients, took):
                    times.extend(operation(client) for _ in range(CALLS))
            small, large = (statistics.median(times) for times in took)
            worst = max(worst, large / small)
            print(f"{name}: {1e6 * small:.0f} us with {SMALL} jobs, {1e6 * large:.0f} us with {COUNT},"
                  f" ratio {large / small:.2f}")
        return worst


def steady():
    """Three agents with all jobs; the longest time without a coordinator."""
    with Mesh(release=True) as mesh:
        agents = mesh.three()
        finished(agents[0], agents[0].submit(noop("first", 1))["id"], 20)
        _, took = fill(agents, COUNT)
        print(f"three agents with {COUNT} jobs each have a coordinator {took:.1f} s after their start")
        for agent in agents:
            require(agent.status()["counts"]["jobs"]["completed"] == COUNT + 1, "jobs are missing")
        gaps = []
        for _ in range(2):
            leader = agreed_leader(agents)
            others = [a for a in agents if a is not leader]
            leader.kill()
            begun = time.monotonic()
            until("another coordinator", 20, lambda: agreed_leader(others, 20) is not None
                  and agreed_leader(others, 20) is not leader)
            gaps.append(time.monotonic() - begun)
            term = others[0].status()["term"]
            job = others[0].submit(noop("after", 4))["id"]
            finished(others[1], job, 20)
            until_s = time.monotonic() + STEADY_S
            while time.monotonic() < until_s:
                seen = {agent.status()["term"] for agent in others}
                require(seen == {term}, f"the coordinator of term {term} was lost: {seen}")
                time.sleep(0.05)
            leader.start()
            mesh.wait_voters(agents)
            equal_states(agents, 30)
        return max(gaps)


def main():
    gap = steady()
    require(gap < LEADERLESS_S, f"{gap:.2f} s without a coordinator")
    print(f"another coordinator seen at most {gap:.2f} s after kill -9, and kept")
    worst = flat()
    print(f"the worst ratio of {COUNT} jobs to {SMALL}:")
    print(f"{worst:.2f}")
    require(worst <= RATIO, f"more than {RATIO}")


if __name__ == "__main__":
    judge(main)
