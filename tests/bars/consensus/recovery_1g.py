#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An agent whose tables hold 1 GiB of jobs founds a cluster; others join, which takes a snapshot of all
of it, and vote. While jobs are submitted, one more agent joins (the time until it is up to date is
printed). The coordinator is killed with kill -9 while yet another agent is fetching from it, and
started again (the time until it answers and until it is up to date is printed); the other agent gets
the state all the same. Throughout, no agent misses the coordinator: the longest silence stays below
half a second, and only the kill changes the coordinator. All states are equal at the end. By hand
with 1 GiB (about 10 GiB of disk); --short: 64 MiB, slow.
"""
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import (Failed, Unreachable, agreed_leader, build_dir, equal_states, noop, require, run,
                  until)

SHORT = "--short" in sys.argv[1:]
MIB = 64 if SHORT else 1024
SILENCE_MS = 500  # election timeouts are 150 to 300 ms, longer on a busy machine
HEARTBEAT_MS = 30
LIMIT_S = 120 if SHORT else 900


class Load:
    """One job after the other at an agent that is never killed; keys make repeating safe."""

    def __init__(self, agent):
        self.agent = agent
        self.count = 0
        self.wrong = None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.submit)

    def submit(self):
        while not self.stopped.is_set():
            key = f"load-{self.count}"
            try:
                self.agent.submit(noop(key, 1), key)
                self.count += 1
            except Unreachable:
                pass
            except Failed as why:
                if "NO_QUORUM" not in str(why) and "TIMEOUT" not in str(why):
                    self.wrong = str(why)
                    return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *trace):
        self.stopped.set()
        self.thread.join()


def silence_ms(agents):
    return max(agent.status()["log"]["leader_silence_us"] for agent in agents) / 1000


def up_to_date(agent, other):
    """Seconds until the agent has what the other has applied now."""
    start = time.monotonic()
    want = other.status()["applied_index"]
    until(f"{agent.name} is up to date", LIMIT_S,
          lambda: agent.get("/status?stale=1").json["applied_index"] >= want)
    return time.monotonic() - start


def size_of(path):
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0  # the store has removed or renamed it meanwhile


def size_mib(path):
    return sum(size_of(os.path.join(where, name)) for where, _, names in os.walk(path)
               for name in names) / (1 << 20)


def main(mesh):
    first = mesh.add("first").start()
    until("it has applied its log", 20,
          lambda: first.status()["applied_index"] >= first.status()["log"]["last"])
    require(first.leave() == 0, "it does not leave")
    fill = os.path.join(build_dir("--release" in sys.argv[1:]), "bin", "state_fill")
    filled = subprocess.run([fill, first.dir, str(MIB)], capture_output=True, text=True, check=False)
    require(filled.returncode == 0, f"state_fill: {filled.stderr}")
    begun = time.monotonic()
    first.start()
    opened = time.monotonic() - begun
    agents = [first]
    for name in ("second", "third"):
        agents.append(mesh.add(name, join=[first]).start())
        up_to_date(agents[-1], first)
    mesh.wait_voters(agents, LIMIT_S)
    leader = agreed_leader(agents)
    with Load(next(agent for agent in agents if agent is not leader)) as load:
        before = load.count
        fresh = mesh.add("fresh", join=[leader]).start()
        joined = up_to_date(fresh, leader)
        during = load.count - before
        until("it tells of its snapshot", 5,
              lambda: fresh.status()["log"]["snapshots_installed"] >= 1)
        heard = silence_ms(agents + [fresh])
        require(agreed_leader(agents + [fresh]) is leader, "the coordinator changed")
        held = size_mib(os.path.join(fresh.dir, "state"))
        orphan = mesh.add("orphan", join=[fresh]).launch()
        until("it is fetching", LIMIT_S,
              lambda: size_mib(os.path.join(orphan.dir, "state")) > MIB / 16)
        leader.kill()
        begun = time.monotonic()
        leader.start()
        answered = time.monotonic() - begun
        others = [agent for agent in agents if agent is not leader]
        caught = up_to_date(leader, others[0])
        orphan.wait_up()
        elsewhere = up_to_date(orphan, others[0])
        require(load.wrong is None, f"a submission failed: {load.wrong}")
    agents += [fresh, orphan]
    equal_states(agents, 60)
    heard = max(heard, silence_ms(agents))
    print(f"{MIB} MiB of jobs: an agent opens them in {opened:.2f} s")
    print(f"after kill -9 it answers in {answered:.2f} s and is up to date {caught:.2f} s later")
    print(f"snapshot on a new agent: {joined:.2f} s, {MIB / joined:.0f} MiB/s, {held:.0f} MiB on its "
          f"disk, {during} jobs submitted meanwhile")
    print(f"with its source killed meanwhile: {elsewhere:.2f} s more")
    print(f"longest silence of the coordinator anywhere: {heard:.0f} ms (a heartbeat is due every "
          f"{HEARTBEAT_MS} ms, no silence may last {SILENCE_MS} ms)")
    require(heard < SILENCE_MS, "an agent missed the coordinator")


if __name__ == "__main__":
    run(main, release="--release" in sys.argv[1:])
