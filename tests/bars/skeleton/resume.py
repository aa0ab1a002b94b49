#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of all three agents in the middle of a training job: started again on their directories
they have the same state, the job goes on from a checkpoint and ends with the digests of an
undisturbed run on one agent. Release build; about 40 s.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, agreed_leader, equal_states, judge, require, until
from training import digits, outcome, submit, wait_step

EPOCHS, STEPS = 16, 16 * 43
LONG_S = 240
LINE = "goes on from the checkpoint after step "


def undisturbed(spec):
    with Mesh(release=True) as mesh:
        agent = mesh.add("alone").start()
        return outcome(agent, submit(mesh, agent, spec), LONG_S)


def checkpoint_of(agent, job):
    return agent.job(job)["unit_list"][0]["checkpoint_step"]


def restart_all(agents):
    """kill -9 of all; the state they have again when no one has moved it yet."""
    for agent in agents:
        agent.pause()  # nobody acts on another's death
    for agent in agents:
        agent.kill()
    for agent in agents:
        agent.launch()
    for agent in agents:
        agent.wait_up()


def interrupted(spec):
    with Mesh(release=True) as mesh:
        agents = mesh.three()
        job = submit(mesh, agents[1], spec)
        wait_step(agents[0], job, int(0.4 * STEPS), LONG_S)
        kept = until("a checkpoint", 20, lambda: checkpoint_of(agents[0], job))
        restart_all(agents)
        agreed_leader(agents, 15)
        result = outcome(agents[2], job, LONG_S)
        log = agents[0].get(f"/jobs/{job}/logs?limit=1000&format=text").body.decode()
        require(LINE in log, f"no checkpoint was used: {log}")
        step = int(log.rsplit(LINE, 1)[1].split()[0])
        require(kept <= step < STEPS, f"from step {step}, though {kept} was kept")
        equal_states(agents)
        return result, step


def main():
    spec = digits(EPOCHS)
    spec["checkpoint"] = {"every_steps": 50, "keep": 2}
    expected = undisturbed(spec)
    result, step = interrupted(spec)
    for key in ("model_digest", "state_digest", "file_digest", "steps"):
        require(result[key] == expected[key], f"{key}: {result[key]}, not {expected[key]}")
    print(f"model {result['model_digest']}")
    print(f"resumed from step {step} of {STEPS}, the same bytes")


if __name__ == "__main__":
    judge(main)
