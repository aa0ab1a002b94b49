#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three agents that keep few entries take jobs until their logs have been compacted; a fourth joins,
which nothing but a snapshot can bring up to date, while jobs go on being submitted at all of them.
It catches up, all states are equal, and nobody has stopped hearing the coordinator: the longest
silence stays below the election timeout and the coordinator is the same. Then a follower that was
down while more was forgotten catches up in the same way. Fast: part of every test run.
"""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Failed, agreed_leader, equal_states, finished, noop, require, run, until

ENTRIES = 32
JOBS = 300
SILENCE_S = 0.5  # election timeouts are 0.15 to 0.3 s, longer on a busy machine


class Load:
    """Jobs, one after the other, at an agent; keys make repeating safe."""

    def __init__(self, agents):
        self.stopped = threading.Event()
        self.done = []
        self.wrong = []
        self.threads = [threading.Thread(target=self.submit, args=(agent,)) for agent in agents]

    def submit(self, agent):
        count = 0
        while not self.stopped.is_set():
            try:
                job = agent.submit(noop(f"load-{agent.name}-{count}", 2), f"{agent.name}-{count}")
            except Failed as why:
                self.wrong.append(str(why))
                return
            self.done.append(job["id"])
            count += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *trace):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def log_of(agent):
    return agent.status()["log"]


def forget(agents, load):
    """Goes on until no agent has the entries that all of them have now."""
    upto = max(agent.status()["applied_index"] for agent in agents)
    until("the logs forget", 60, lambda: load.wrong or
          all(log_of(agent)["first"] > upto for agent in agents))
    require(not load.wrong, f"a submission failed: {load.wrong}")


def catches_up(agent, leader):
    """Seconds until the agent has what the coordinator has applied now."""
    start = time.monotonic()
    want = leader.status()["applied_index"]
    until(f"{agent.name} catches up", 30,
          lambda: agent.status()["applied_index"] >= want)
    return time.monotonic() - start


def took_snapshot(agent):
    # Published a tenth of a second later than the applied index.
    until(f"{agent.name} tells of a snapshot", 5,
          lambda: log_of(agent)["snapshots_installed"] >= 1)


def main(mesh):
    few = ["--log-entries", str(ENTRIES)]
    agents = mesh.three(extra=few)
    leader = agreed_leader(agents)
    with Load(agents) as load:
        forget(agents, load)
        late = mesh.add("delta", join=[leader], extra=few).start()
        joined = catches_up(late, leader)
        took_snapshot(late)
        until("the load goes on", 30, lambda: len(load.done) >= JOBS or load.wrong)
        killed = next(a for a in agents if a is not leader)
        others = [a for a in agents if a is not killed] + [late]
    jobs = load.done
    silence = max(log_of(agent)["leader_silence_us"] for agent in agents + [late]) / 1e6
    require(silence < SILENCE_S, f"an agent heard nothing from the coordinator for {silence:.2f} s")
    require(agreed_leader(agents + [late]) is leader, "the coordinator changed")
    equal_states(agents + [late])
    killed.kill()
    with Load([leader]) as load:
        forget([leader], load)
    killed.start()
    rejoined = catches_up(killed, leader)
    took_snapshot(killed)
    equal_states(others + [killed])
    jobs += load.done
    for agent in others + [killed]:
        for job in jobs[::len(jobs) // 20]:
            finished(agent, job, 20)
    print(f"{len(jobs)} jobs submitted; up to date {joined:.2f} s after joining and "
          f"{rejoined:.2f} s after a restart, by snapshots")
    print(f"longest silence of the coordinator: {silence * 1000:.0f} ms")


if __name__ == "__main__":
    run(main)
