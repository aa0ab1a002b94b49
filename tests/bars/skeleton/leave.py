#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: the agent is `left` for the others and ends with status 0 within 10 s, a follower and
the coordinator alike, and work goes on; started again on its directory it is the same node. SIGSTOP:
`suspect` or `dead` for the others, and alive again after SIGCONT. Fast: part of every test run.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, equal_states, finished, noop, require, run, until

LEAVE_S = 10


def leave_and_return(agents, agent):
    """Seconds that leaving took."""
    others = [a for a in agents if a is not agent]
    before = agent.status()
    start = time.monotonic()
    status = agent.leave(LEAVE_S)
    took = time.monotonic() - start
    require(status == 0, f"{agent.name} ended with {status}")
    until(f"{agent.name} has left", 2,
          lambda: all(a.liveness(agent.name) == "left" for a in others))
    agreed_leader(others)
    finished(others[0], others[1].submit(noop("meanwhile"))["id"], 20)
    agent.start()
    until(f"{agent.name} is back", 15, lambda: all(a.liveness(agent.name) == "alive" for a in agents))
    after = agent.status()
    require((before["id"], before["handle"]) == (after["id"], after["handle"]),
            f"{agent.name} came back as another node")
    equal_states(agents)
    return took


def main(mesh):
    agents = mesh.three()
    leader = agreed_leader(agents)
    follower = next(a for a in agents if a is not leader)
    slowest = leave_and_return(agents, follower)
    mesh.wait_voters(agents, 30)
    slowest = max(slowest, leave_and_return(agents, agreed_leader(agents)))

    silent = agents[2]
    others = agents[:2]
    silent.pause()
    until("a stopped agent is suspected", 20,
          lambda: all(a.liveness(silent.name) in ("suspect", "dead") for a in others))
    until("a stopped agent is dead", 30,
          lambda: all(a.liveness(silent.name) == "dead" for a in others))
    silent.resume()
    until("a resumed agent is alive", 20,
          lambda: all(a.liveness(silent.name) == "alive" for a in agents))
    equal_states(agents)
    print(f"left within {slowest:.2f} s")


if __name__ == "__main__":
    run(main)
