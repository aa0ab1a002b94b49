#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The coordinator of 3 agents, and of 5, is killed with kill -9 while clients submit and read through
all agents, again and again: no job that was acknowledged is missing, no key made two jobs, every job
ends with its one unit committed, and what the clients saw is linearizable (shoal-sim check-history).

    kill_leader.py             100 kills of 3 agents, 100 of 5
    kill_leader.py --kills N   N each
    kill_leader.py --agents N  of so many only
    kill_leader.py --short     10 kills of 3 agents; slow, part of the full test run
"""
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from clients import Client, Record, now_us, quantile
from mesh import Mesh, agreed_leader, build_dir, equal_states, judge, require, until

CLIENTS = 3
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
SERVED_S = 20
BACK_S = 60
VOTERS = 3  # of 3 agents, and of 5: seven and more have five
PAGE = 500


def turn(agents, first):
    """The agents from the first-th on, as a client asks them."""
    return lambda: agents[first:] + agents[:first]


def settle(agents, seconds):
    """Everybody sees everybody alive, and three of them vote."""
    def probe():
        for agent in agents:
            nodes = agent.nodes().values()
            alive = [node for node in nodes if node["liveness"] == "alive"]
            if len(alive) != len(agents) or sum(node["voter"] for node in alive) != VOTERS:
                return False
        return True
    until(f"{len(agents)} agents are alive, {VOTERS} vote", seconds, probe)


def start(mesh, count):
    agents = [mesh.add(NAMES[0]).start()]
    for name in NAMES[1:count]:
        agents.append(mesh.add(name, join=agents[:1]).start())
    settle(agents, BACK_S)
    return agents


def gap_around(clients, since, until_us):
    """The longest time in which no client at all was acknowledged anything, in ms."""
    acks = sorted(at for client in clients for at in list(client.acks)
                  if since - 1_000_000 < at < until_us)
    pauses = [b - a for a, b in zip(acks, acks[1:]) if b > since]
    return max(pauses) / 1000 if pauses else float("nan")


def kill_once(agents, clients):
    leader = agreed_leader(agents, BACK_S)
    time.sleep(random.uniform(0.05, 0.3))  # another moment of the load every time
    since = now_us()
    leader.kill()
    served = sum(len(client.acks) for client in clients)
    until("clients are served again", SERVED_S,
          lambda: sum(len(client.acks) for client in clients) > served + 20)
    end = now_us()
    leader.start()
    settle(agents, BACK_S)
    return gap_around(clients, since, end)


def all_jobs(agent):
    """id -> row of every job that the agent knows."""
    rows = {}
    before = 0
    while True:
        page = agent.read(f"/jobs?limit={PAGE}" + (f"&before={before}" if before else ""))
        rows.update((row["id"], row) for row in page["jobs"])
        before = page["next"]
        if not before:
            return rows


def check_jobs(agents, record, clients):
    unsettled = sum(client.unsettled for client in clients)
    until("all jobs end", 120,
          lambda: not agents[0].read("/jobs?state=waiting,running,stopping&limit=1")["jobs"])
    equal_states(agents, 60)
    for agent in agents:
        rows = all_jobs(agent)
        missing = [job for job in record.jobs.values() if job not in rows]
        require(not missing, f"{agent.name} lacks {len(missing)} acknowledged jobs: {missing[:5]}")
        broken = [row["id"] for row in rows.values()
                  if row["state"] != "completed" or row["units_completed"] != 1]
        require(not broken, f"{agent.name}: jobs {broken[:5]} did not complete their one unit")
        extra = len(rows) - len(record.jobs)
        require(extra <= unsettled, f"{agent.name}: {extra} jobs more than keys were answered, "
                                    f"{unsettled} are open")
    require(len(set(record.jobs.values())) == len(record.jobs), "two keys gave one job")
    require(not record.twice, "; ".join(record.twice[:3]))


def check_history(mesh, record):
    path = mesh.path("history", record.history())
    judge_words = [os.path.join(build_dir(), "bin", "shoal-sim"), "check-history", path]
    done = subprocess.run(judge_words, capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"{done.stdout}{done.stderr}")
    return len(record.lines)


def storm(count, kills):
    """Kills the coordinator of count agents so often; (gaps in ms, jobs, calls)."""
    record = Record()
    with Mesh() as mesh:
        agents = start(mesh, count)
        clients = [Client(f"c{i}", turn(agents, i % count), record, reads=2, pause_s=0.01)
                   for i in range(CLIENTS)]
        for client in clients:
            client.start()
        until("clients are served", SERVED_S, lambda: all(client.acks for client in clients))
        gaps = []
        for number in range(kills):
            gaps.append(kill_once(agents, clients))
            if (number + 1) % 10 == 0:
                print(f"{count} agents: {number + 1} kills, {len(record.jobs)} jobs, gap p50 "
                      f"{quantile(gaps, 0.5):.1f} ms", flush=True)
        for client in clients:
            client.stop()
        check_jobs(agents, record, clients)
        calls = check_history(mesh, record)
    return gaps, len(record.jobs), calls


def main():
    short = "--short" in sys.argv
    kills = 10 if short else 100
    if "--kills" in sys.argv:
        kills = int(sys.argv[sys.argv.index("--kills") + 1])
    counts = (3,) if short else (3, 5)
    if "--agents" in sys.argv:
        counts = (int(sys.argv[sys.argv.index("--agents") + 1]),)
    for count in counts:
        gaps, jobs, calls = storm(count, kills)
        print(f"{count} agents: {kills} kills, {jobs} jobs, none lost, none twice, {calls} calls "
              f"linearizable; gap p50 {quantile(gaps, 0.5):.1f} ms, p99 "
              f"{quantile(gaps, 0.99):.1f} ms", flush=True)


if __name__ == "__main__":
    judge(main)
