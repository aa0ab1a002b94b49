#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a job made outlives the agent that made it: `model show` names at least two holders; after kill -9 of
the first of them `model get` gives the same bytes on the agents that are left. Fast: part of every
test run.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import finished, require, run, until
from training import digits, submit

HOLDERS_MIN = 2


def linear():
    spec = digits(1)
    spec["model"]["layers"] = ["flatten", {"dense": 10}]
    return spec


def model_bytes(mesh, agent, name):
    path = mesh.path(f"{name}.safetensors")
    mesh.must(["model", "get", "digits", "-o", path, "--peer", agent.api])
    with open(path, "rb") as file:
        return file.read()


def main(mesh):
    agents = mesh.three()
    job_id = submit(mesh, agents[2], linear())
    finished(agents[2], job_id, 120)
    shown = json.loads(mesh.must(["model", "show", "digits", "--json", "--peer", agents[2].api]))
    names = [holder["name"] for holder in shown["holders"]]
    require(len(set(names)) == len(names) >= HOLDERS_MIN, f"holders of the model: {names}")
    text = mesh.must(["model", "show", "digits", "--peer", agents[2].api])
    require(all(name in text for name in names), f"model show does not name {names}:\n{text}")

    before = model_bytes(mesh, agents[0], "before")
    first = next(agent for agent in agents if agent.name == names[0])
    left = [agent for agent in agents if agent is not first]
    first.kill()
    until("the first holder is missed", 20,
          lambda: all(agent.liveness(first.name) != "alive" for agent in left))
    for agent in left:
        require(model_bytes(mesh, agent, agent.name) == before, f"{agent.name} has other bytes")
    print(f"{len(before)} bytes held by {' and '.join(names)}, unchanged without {first.name}")


if __name__ == "__main__":
    run(main)
