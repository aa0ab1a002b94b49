#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The coordinator of three agents falls silent without its connections breaking, by SIGSTOP and by
losing all its packets: how long a client that submits continuously at a survivor waits. p99 below
600 ms: the election timeout and what follows. Timeouts follow the slowest disk, so the last line
says how fast it was.

By hand; --short: 10 times each; --only stop or --only packets: one half. Losing packets needs root
and network namespaces; where they are missing only SIGSTOP is judged, and the last line says so.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from clients import Client, DiskProbe, Record, longest_pause_us, now_us, quantile
from islands import Island, islands
from mesh import Agent, Mesh, Skip, agreed_leader, judge, require, until

NAMES = ("alpha", "beta", "gamma")
TIMES = 100
SERVED_S = 20
P99_MS = 600


def silence_once(mesh, agents, record, number, hush, wake):
    leader = agreed_leader(agents, 30)
    others = [agent for agent in agents if agent is not leader]
    client = Client(f"c{number}", lambda: [others[number % 2]], record, timeout=SERVED_S)
    client.start()
    until("the client is served", SERVED_S, lambda: len(client.acks) > 20)
    time.sleep(0.1 + number % 7 * 0.01)  # another moment between two heartbeats every time
    since = now_us()
    hush(leader)
    served = len(client.acks)
    until("the client is served again", SERVED_S, lambda: len(client.acks) > served + 30)
    client.stop()
    wake(leader)
    until(f"{leader.name} is back", 30,
          lambda: all(a.liveness(leader.name) == "alive" for a in agents))
    mesh.wait_voters(agents, 30)
    return longest_pause_us(client.acks, since, now_us()) / 1000


def measure(mesh, agents, what, hush, wake):
    """p99 in ms, and a line for the reader."""
    record = Record()
    probe = DiskProbe(mesh.path("probe"))
    gaps = []
    for number in range(10 if "--short" in sys.argv else TIMES):
        probe.sample(20)
        gaps.append(silence_once(mesh, agents, record, number, hush, wake))
        print(f"{what} {number + 1}: {gaps[-1]:.1f} ms", flush=True)
    require(not record.twice, "; ".join(record.twice[:3]))
    p99 = quantile(gaps, 0.99)
    return p99, (f"{what}: {len(gaps)} times, p50 {quantile(gaps, 0.5):.1f} ms, p99 {p99:.1f} ms, "
                 f"fdatasync p99 {probe.p99_ms():.1f} ms")


def stopped():
    with Mesh(release=True) as mesh:
        return measure(mesh, mesh.three(), "SIGSTOP", Agent.pause, Agent.resume)


def cut_off():
    try:
        with Mesh(release=True) as mesh, islands(mesh, NAMES) as agents:
            return measure(mesh, agents, "packets lost", Island.cut, Island.mend)
    except Skip as why:
        return 0, f"packets lost: not judged here: {why}"


def main():
    halves = {"stop": stopped, "packets": cut_off}
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else None
    judged = [half() for name, half in halves.items() if only in (None, name)]
    require(judged, f"--only {only}: stop or packets")
    text = "; ".join(line for _, line in judged)
    require(all(p99 < P99_MS for p99, _ in judged), text)
    print(text)


if __name__ == "__main__":
    judge(main)
