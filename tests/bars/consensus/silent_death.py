#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The coordinator of three agents falls silent without its connections breaking (SIGSTOP): how long a
client that submits continuously at a survivor waits. p99 below 600 ms: the election timeout and what
follows. By hand; --short: 10 times.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from clients import Client, Record, longest_pause_us, now_us, quantile
from mesh import agreed_leader, require, run, until

TIMES = 100
SERVED_S = 20
P99_MS = 600


def silence_once(mesh, agents, record, number):
    leader = agreed_leader(agents, 30)
    others = [agent for agent in agents if agent is not leader]
    client = Client(f"c{number}", lambda: [others[number % 2]], record, timeout=SERVED_S)
    client.start()
    until("the client is served", SERVED_S, lambda: len(client.acks) > 20)
    time.sleep(0.1 + number % 7 * 0.01)  # another moment between two heartbeats every time
    since = now_us()
    leader.pause()
    served = len(client.acks)
    until("the client is served again", SERVED_S, lambda: len(client.acks) > served + 30)
    client.stop()
    leader.resume()
    until(f"{leader.name} is back", 30,
          lambda: all(a.liveness(leader.name) == "alive" for a in agents))
    mesh.wait_voters(agents, 30)
    return longest_pause_us(client.acks, since, now_us()) / 1000


def main(mesh):
    record = Record()
    agents = mesh.three()
    gaps = []
    for number in range(10 if "--short" in sys.argv else TIMES):
        gaps.append(silence_once(mesh, agents, record, number))
        print(f"silence {number + 1}: {gaps[-1]:.1f} ms", flush=True)
    require(not record.twice, "; ".join(record.twice[:3]))
    p99 = quantile(gaps, 0.99)
    require(p99 < P99_MS, f"p99 {p99:.1f} ms")
    print(f"{len(gaps)} silent deaths: p50 {quantile(gaps, 0.5):.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    run(main, release=True)
