#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A script package as five replicas, submitted to a follower of five agents of which one runs no
commands, while an agent that works on it and the coordinator are killed and started again: exactly
five models, each complete and of another unit, no unit committed twice, nothing on the agent that
does not allow it. --rounds N: so often, on fresh agents (1; 50 by hand).
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, agreed_leader, judge, require, until

UNITS = 5
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
END_S = 180
SCRIPT = """#!/bin/sh
i=0
while [ $i -lt 15 ]; do
    i=$((i + 1))
    echo "SHOAL {\\"step\\": $i, \\"loss\\": 0.$i}"
    sleep 0.1
done
echo "unit $SHOAL_UNIT" > model
"""
JOB = f"""api: shoal/v1
kind: exec
name: replicas
package: package
run: [[./work.sh]]
model_file: model
replicas: {UNITS}
retries: 0
"""


def write_package(mesh):
    os.makedirs(os.path.join(mesh.dir, "package"), exist_ok=True)
    path = mesh.path("package/work.sh", SCRIPT)
    os.chmod(path, 0o755)
    return mesh.path("job.yaml", JOB)


def members(agent, job):
    units = agent.job(job)["unit_list"]
    return {m["name"] for unit in units for m in unit.get("members", [])}


def committed(agent, job):
    return [unit for unit in agent.job(job)["unit_list"] if "outcome" in unit]


def check_models(mesh, agent, job):
    row = agent.job(job)
    require(row["state"] == "completed" and row["units_completed"] == UNITS,
            f"job {row['state']}, {row['units_completed']} units")
    models = [m for m in agent.read("/models")["models"] if m["name"] == "replicas"]
    require(len(models) == UNITS, f"{len(models)} models")
    seen = set()
    for version in range(1, UNITS + 1):
        path = mesh.path(f"model-{version}")
        mesh.must(["model", "get", f"replicas:{version}", "-o", path, "--peer",
                   f"127.0.0.1:{agent.api_port}"])
        with open(path, encoding="utf-8") as file:
            seen.add(file.read().strip())
    require(seen == {f"unit {i}" for i in range(UNITS)}, f"models of {sorted(seen)}")
    for unit in range(UNITS):
        folder = mesh.path(f"outputs-{unit}")
        mesh.must(["outputs", "replicas", "--unit", unit, "-o", folder, "--peer",
                   f"127.0.0.1:{agent.api_port}"])
        with open(os.path.join(folder, "model"), encoding="utf-8") as file:
            require(file.read().strip() == f"unit {unit}", f"outputs of unit {unit}")
    commits = [e for e in row["history"] if e["cause"] == "committed its result"]
    units = [e["unit"] for e in commits]
    require(len(units) == len(set(units)), f"units committed: {units}")


def one_round(mesh):
    agents = [mesh.add(NAMES[0], extra=["--allow-commands"]).start()]
    for name in NAMES[1:]:
        extra = [] if name == NAMES[-1] else ["--allow-commands"]
        agents.append(mesh.add(name, join=agents[-1:], extra=extra).start())
    leader = agreed_leader(agents)
    follower = next(a for a in agents if a is not leader and a.name != NAMES[-1])
    out = mesh.must(["submit", write_package(mesh), "--json", "--peer",
                     f"127.0.0.1:{follower.api_port}"])
    job = json.loads(out)["id"]
    until("units run", 30, lambda: len(members(follower, job)) >= 2)
    require(NAMES[-1] not in members(follower, job), "an agent without commands has a unit")
    victim = next(a for a in agents if a.name in members(follower, job) and
                  a is not leader and a is not follower)
    victim.kill()
    until("a unit is committed", 60, lambda: committed(follower, job))
    leader.kill()
    victim.start()
    until("the job ends", END_S, lambda: follower.job(job)["state"] not in ("waiting", "running"))
    leader.start()
    check_models(mesh, follower, job)


def main():
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 1
    for _ in range(rounds):
        with Mesh() as mesh:
            one_round(mesh)
    print(f"{rounds} rounds: {UNITS} models each, of {UNITS} units")


if __name__ == "__main__":
    judge(main)
