#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linearizable reads on three real agents: what one agent has acknowledged every other one shows at
once, 300 times over and across kill -9 of the coordinator, though followers lag behind it. The same
requests with ?stale=1 are what they are compared with: some of them do miss a job.

--rate: instead, what it costs: requests/s of GET /jobs/N at a follower with 64 clients, linearizable
and stale in turns, five rounds each; release build, by hand.
"""
import os
import statistics
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Unreachable, agreed_leader, build_dir, finished, noop, require, run, until

SUBMISSIONS = 300
CLIENTS = 64
ROUNDS = 5
SECONDS = 2


class Load:
    """Submits at one agent without a pause, so that the logs of the others are always in motion."""

    def __init__(self, agent):
        self.agent = agent
        self.done = False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        number = 0
        while not self.done:
            number += 1
            try:
                self.agent.call("POST", "/jobs", noop(f"load-{number}", 1))
            except Unreachable:
                pass

    def stop(self):
        self.done = True
        self.thread.join()


def shows(agent, job, query):
    answer = agent.get(f"/jobs/{job}{query}")
    require(answer.status in (200, 404), f"{agent.name}: {answer}")
    return answer.status == 200


def compare(agents):
    """Submits at each agent in turn and looks at the others; how many stale reads missed a job."""
    missed = 0
    for number in range(SUBMISSIONS):
        writer = agents[number % len(agents)]
        others = [a for a in agents if a is not writer]
        job = writer.submit(noop(f"n{number}", 1))["id"]
        missed += sum(not shows(a, job, "?stale=1") for a in others)
        for reader in others:
            require(shows(reader, job, ""),
                    f"{reader.name} does not show job {job} that {writer.name} acknowledged")
    return missed


def across_a_crash(mesh, agents):
    """Every job acknowledged before is shown by the first read that a survivor answers after."""
    leader = agreed_leader(agents)
    survivors = [a for a in agents if a is not leader]
    job = leader.submit(noop("last", 1))["id"]
    leader.kill()
    for agent in survivors:
        answer = until("a read between two coordinators", 20,
                       lambda a=agent: (lambda r: r if r.status != 503 else None)(
                           a.get(f"/jobs/{job}")))
        require(answer.status == 200, f"{agent.name} lost job {job}: {answer}")
    leader.start()
    mesh.wait_voters(agents)


def rates(mesh, agents):
    program = os.path.join(build_dir(True), "bin", "http_rate")
    leader = agreed_leader(agents)
    reader = next(a for a in agents if a is not leader)
    job = reader.submit(noop("read", 1))["id"]
    finished(reader, job, 20)
    seen = {"": [], "?stale=1": []}
    for _ in range(ROUNDS):
        for query, list_of in seen.items():
            done = subprocess.run([program, reader.api, "GET", f"/api/v1/jobs/{job}{query}",
                                   str(CLIENTS), str(SECONDS)], capture_output=True, text=True, check=False,
                                  timeout=120)
            require(done.returncode == 0, f"http_rate: {done.stderr}")
            list_of.append([float(word) for word in done.stdout.split()])
    rate = {query: statistics.median(row[0] for row in rows) for query, rows in seen.items()}
    p50 = {query: statistics.median(row[1] for row in rows) for query, rows in seen.items()}
    print(f"linearizable {rate['']:.0f}/s (median {p50['']:.0f} us), stale {rate['?stale=1']:.0f}/s "
          f"(median {p50['?stale=1']:.0f} us), {CLIENTS} clients at a follower; ratio of the rates")
    print(f"{rate[''] / rate['?stale=1']:.2f}")


def main(mesh):
    agents = mesh.three()
    if "--rate" in sys.argv:
        rates(mesh, agents)
        return
    load = Load(agents[0])
    missed = compare(agents)
    load.stop()
    across_a_crash(mesh, agents)
    print(f"{2 * SUBMISSIONS} linearizable reads missed none of the jobs acknowledged elsewhere; of as "
          "many stale reads")
    print(f"{missed} did")


if __name__ == "__main__":
    run(main, release="--rate" in sys.argv)
