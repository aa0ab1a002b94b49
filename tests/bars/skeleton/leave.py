#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: the agent is `left` for the others and ends with status 0 within 10 s, a follower and
the coordinator alike, and work goes on; started again on its directory it is the same node. So does
an agent that is reading a data set of 200 GiB. SIGSTOP: `suspect` or `dead` for the others, and
alive again after SIGCONT. Fast: part of every test run.
"""
import os
import subprocess
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


def has_open(agent, path):
    folder = f"/proc/{agent.process.pid}/fd"
    return any(os.path.realpath(os.path.join(folder, name)) == path for name in os.listdir(folder))


def leave_while_reading(mesh, agent):
    """Seconds that leaving took in the middle of a file of which nearly all is a hole."""
    path = mesh.path("rows.csv", "1,2,up\n3,4,down\n")
    os.truncate(path, 200 << 30)
    with subprocess.Popen([mesh.shoal, "dataset", "add", "rows", path, "--peer", agent.api],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as asking:
        until("the file is read", 10, lambda: has_open(agent, path))
        start = time.monotonic()
        status = agent.leave(LEAVE_S)
        took = time.monotonic() - start
        require(asking.wait() != 0, "a data set was declared that was not read")
    require(status == 0, f"{agent.name} ended with {status}")
    agent.start()
    return took


def main(mesh):
    agents = mesh.three()
    leader = agreed_leader(agents)
    follower = next(a for a in agents if a is not leader)
    slowest = leave_and_return(agents, follower)
    mesh.wait_voters(agents, 30)
    slowest = max(slowest, leave_and_return(agents, agreed_leader(agents)))
    slowest = max(slowest, leave_while_reading(mesh, agents[0]))

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
