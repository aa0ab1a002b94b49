#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three agents, one with another OPENBLAS_CORETYPE and so of another arithmetic class. A job with
`arithmetic: same` leaves it out and `why` says so; one with `any` has all three compute, and job and
model are marked as not reproducible. About 15 s.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Skip, agreed_leader, require, run, until
from training import Work, digits, outcome, submit

CORES = ("Haswell", "Zen", "Sandybridge", "Nehalem", "Prescott", "ARMV8", "CORTEXA53")
EPOCHS = 4
REASON = "another arithmetic class"


def add_other(mesh, agents):
    """An agent of another class; Skip where no core type gives one."""
    known = agents[0].nodes()[agents[0].name]["class"]
    for core in CORES:
        other = mesh.add("other", join=agents[:1], env={"OPENBLAS_CORETYPE": core})
        other.start()
        if other.nodes()["other"]["class"] != known:
            return other, core
        other.stop()
        mesh.agents.remove(other)
    raise Skip("every core type of OpenBLAS gives one arithmetic class here")


def members(agent, job):
    row = agent.job(job)
    unit = row["unit_list"][0]
    require(row["state"] in ("waiting", "running"), f"job {job} is {row['state']} already")
    return sorted(m["name"] for m in unit["members"]) if "members" in unit else None


def several(agent, job):
    found = members(agent, job)
    return found if found is not None and len(found) > 1 else None


def main(mesh):
    agents = [mesh.add("alpha").start()]
    agents.append(mesh.add("beta", join=agents).start())
    other, core = add_other(mesh, agents)
    agents.append(other)
    until("three agents are alive", 20,
          lambda: all([n["liveness"] for n in a.nodes().values()] == ["alive"] * 3 for a in agents))
    until("three agents are admitted", 20,
          lambda: all("handle" in n for n in agents[0].nodes().values()))
    classes = {name: node["class"][:8] for name, node in agents[0].nodes().items()}
    agreed_leader(agents)

    job = submit(mesh, agents[0], digits(EPOCHS))
    why = until("a reason for the other class", 20,
                lambda: [line for line in agents[1].why(job) if REASON in line])
    require(len(why) == 1 and why[0].startswith("other:"), f"why says {why}")
    both = until("several members", 20, lambda: several(agents[0], job))
    require(both == ["alpha", "beta"], f"{both} take part")
    outcome(agents[0], job, 120)
    same = Work(agents[0], job, EPOCHS * 43)
    require("other" not in same.done, f"the other class computed: {same.done}")
    row, model = agents[0].job(job), agents[0].read("/models/digits")
    require(row["reproducible"] and model["reproducible"], "`same` is not reproducible")
    require(row["class"].startswith(classes["alpha"]), "the job is pinned to another class")

    spec = {**digits(EPOCHS), "name": "mixed", "arithmetic": "any"}
    job = submit(mesh, agents[0], spec)
    outcome(agents[0], job, 120)
    mixed = Work(agents[0], job, EPOCHS * 43)
    require("other" in mixed.done, f"the other class did not compute: {mixed.done}")
    row, model = agents[0].job(job), agents[0].read("/models/mixed")
    require(not row["reproducible"] and not model["reproducible"], "`any` is not marked")
    print(f"classes {classes} (OPENBLAS_CORETYPE={core}); why: {why[0]}")
    print(f"rank-steps with same {same.done}, with any {mixed.done}")


if __name__ == "__main__":
    run(main)
