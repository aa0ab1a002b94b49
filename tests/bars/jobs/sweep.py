#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sweeps on three agents, submitted to and read from a follower.

- grid: two learning rates by three seeds while an agent that trains is killed: exactly six units,
  six models, no unit committed twice. The unit that was compared has the very bytes of the job file
  that a person would write with its values, and `model list` marks the best one.
- random: equal values from an equal seed, others from another, and a script gets them as variables
  and as SHOAL_PARAMS.
- hyperband: later rungs wait, `why` says for what, and take the values of the best of the rung before;
  a configuration that diverges ranks last and stops nobody. Prints how many epochs it trained and
  what it found, beside random search that trains as many configurations to the end: fewer, and at most
  a tenth worse.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, agreed_leader, finished, judge, require, until

END_S = 150
EPOCHS = 4
UNIT = "committed its result"
MODEL = {"input": [1, 28, 28], "layers": ["flatten", {"dense": 16}, "relu", {"dense": 10}]}
LR = "train.optimizer.sgd.lr"


def training(name, sweep=None, **train):
    spec = {"api": "shoal/v1", "kind": "train", "name": name,
            "data": {"train": "builtin:digits", "validation": 0.1}, "model": MODEL,
            "train": dict({"optimizer": {"sgd": {"lr": 0.1}}, "batch": 256, "ranks": 4, "epochs": 1},
                          **train),
            "resources": {"agents": 1, "cpus": 0}, "checkpoint": {"every_steps": 10}}
    return dict(spec, sweep=sweep) if sweep else spec


def script(name, sweep):
    return {"api": "shoal/v1", "kind": "exec", "name": name, "sweep": sweep,
            "run": ["echo \"$LR $WIDTH $SHOAL_UNIT/$SHOAL_UNITS\" > seen; echo \"$SHOAL_PARAMS\" >> seen;"
                    " echo \"SHOAL {\\\"step\\\": 1, \\\"cost\\\": $WIDTH}\""],
            "outputs": ["seen"], "resources": {"cpus": 0}}


def sweep_of(agent, job):
    return agent.read(f"/jobs/{job}/sweep")


def working(agent, job):
    return {m["name"] for u in agent.job(job)["unit_list"] for m in u.get("members", [])}


def models_of(agent, job):
    return [m for m in agent.read("/models")["models"] if m["job"] == job]


def grid(agents, leader, follower):
    values = {LR: [0.1, 0.01], "train.seed": [1, 2, 3]}
    spec = training("grid", {"method": "grid", "parameters": values}, epochs=EPOCHS)
    job = follower.submit(spec)["id"]
    others = [a for a in agents if a is not follower and a is not leader]
    until("an agent trains", 30, lambda: others[0].name in working(follower, job))
    others[0].kill()
    row = finished(follower, job, END_S)
    others[0].start()
    require(row["units"] == 6 and row["units_completed"] == 6, f"units: {row['units_completed']}")
    committed = [e["unit"] for e in row["history"] if e["cause"] == UNIT]
    require(sorted(committed) == list(range(6)), f"units committed: {committed}")
    seen = sweep_of(follower, job)
    got = [(u["values"][LR], u["values"]["train.seed"]) for u in seen["units"]]
    require(got == [(lr, seed) for lr in (0.1, 0.01) for seed in (1, 2, 3)], f"values {got}")
    models = models_of(follower, job)
    require(sorted(m["version"] for m in models) == list(range(1, 7)), f"{len(models)} models")
    best = min(seen["units"], key=lambda u: u["score"])
    require(seen["best"] == best["unit"], f"best {seen['best']}, not {best['unit']}")
    asked = follower.read("/models/grid@best")
    require(asked["version"] == best["model_version"], f"grid@best is {asked['version']}")
    marked = [m["version"] for m in models if m.get("best")]
    require(marked == [best["model_version"]], f"marked as best: {marked}")
    return job, seen


def same_as_alone(follower, seen):
    """A unit's model is that of the job with its values written in."""
    unit = seen["units"][4]
    alone = training("grid", epochs=EPOCHS, seed=unit["values"]["train.seed"],
                     optimizer={"sgd": {"lr": unit["values"][LR]}})
    job = follower.submit(alone)
    finished(follower, job["id"], END_S)
    model, = models_of(follower, job["id"])
    require(job["spec_digest"] == unit["spec_digest"], "another job file than a person would write")
    require(model["model_digest"] == unit["model_digest"], "another model than that of the job alone")


def random(mesh, follower):
    def draws(seed):
        values = {"LR": {"log_uniform": [1e-4, 1e-1]}, "WIDTH": {"int": [8, 64]}}
        spec = script(f"draws{seed}", {"method": "random", "trials": 5, "seed": seed, "metric": "cost",
                                       "parameters": values})
        job = follower.submit(spec)["id"]
        finished(follower, job, END_S)
        return job, sweep_of(follower, job)
    job, first = draws(7)
    values = [u["values"] for u in first["units"]]
    require(values == [u["values"] for u in draws(7)[1]["units"]], "one seed gave other values")
    require(values != [u["values"] for u in draws(8)[1]["units"]], "another seed gave the same values")
    require([u["score"] for u in first["units"]] == [v["WIDTH"] for v in values], "scores")
    for number in (0, 4):
        folder = mesh.path(f"seen-{number}")
        mesh.must(["outputs", job, "--unit", number, "-o", folder, "--peer",
                   f"127.0.0.1:{follower.api_port}"])
        with open(os.path.join(folder, "seen"), encoding="utf-8") as file:
            words, params = file.read().splitlines()
        lr, width, unit = words.split()
        require(json.loads(params) == values[number], f"SHOAL_PARAMS {params}")
        require(float(lr) == values[number]["LR"] and int(width) == values[number]["WIDTH"] and
                unit == f"{number}/5", f"variables {words}")


def check_rungs(seen):
    """Each rung has the values of the best of the one before it, and the resource of the paper."""
    stages, units = seen["stages"], seen["units"]
    for before, stage in zip(stages, stages[1:]):
        if not stage["after"]:
            continue
        rung = units[before["first"]:before["first"] + before["units"]]
        ranked = sorted(rung, key=lambda u: (u.get("score") is None, u.get("score") or 0, u["unit"]))
        for k in range(stage["units"]):
            unit = units[stage["first"] + k]
            want = dict(ranked[k]["values"], **{"train.epochs": stage["resource"]})
            require(unit["values"] == want, f"unit {unit['unit']}: {unit['values']}, not {want}")


def check_steps(follower, job, seen):
    """A unit of a later rung goes on from the end of the one whose values it has, and computes the
    steps behind that alone. Epochs that were computed, and what they would be anew."""
    units = seen["units"]
    steps_an_epoch = min(u["steps"] for u in units if u.get("steps"))
    spent = anew = continued = 0
    for unit in units:
        anew += unit["values"]["train.epochs"]
        spent += unit["values"]["train.epochs"]
        origin = unit.get("goes_on_from")
        later = any(s["after"] and s["first"] <= unit["unit"] < s["first"] + s["units"]
                    for s in seen["stages"])
        if unit["state"] != "completed":
            continue
        require((origin is not None) == later, f"unit {unit['unit']}: {origin}")
        if not later:
            continue
        before = units[origin["unit"]]
        require(before["values"][LR] == unit["values"][LR], f"{unit} goes on from {before}")
        require(origin["step"] == before["steps"], f"{origin}, but the end is {before['steps']}")
        name = f"{unit['unit']}/loss"
        points = follower.read(f"/jobs/{job}/metrics?name={name}&limit=5000")["series"][name]
        require(points[0][0] == origin["step"] + 1, f"{name} begins with step {points[0][0]}")
        spent -= origin["step"] // steps_an_epoch
        continued += 1
    require(continued >= 3, f"{continued} units went on from another")
    longest = max((u for u in units if u.get("goes_on_from") and u["state"] == "completed"),
                  key=lambda u: u["goes_on_from"]["step"])
    alone = training("alone-again", epochs=longest["values"]["train.epochs"])
    alone["train"]["optimizer"]["sgd"]["lr"] = longest["values"][LR]
    row = finished(follower, follower.submit(alone)["id"], END_S)
    require(row["unit_list"][0]["outcome"]["model_digest"] == longest["model_digest"],
            "going on gives other bytes than training in one run")
    return spent, anew


def hyperband(follower):
    rates = {LR: {"log_uniform": [1e-4, 1e3]}}  # the largest diverge
    spec = training("band", {"method": "hyperband", "max_resource": 9, "seed": 3, "parameters": rates})
    spec["retries"] = 0
    job = follower.submit(spec)["id"]
    why = until("why says what a rung waits for", 30, lambda: [
        line for line in follower.why(job) if "whose results choose its values" in line])
    finished(follower, job, END_S)
    seen = sweep_of(follower, job)
    require([s["units"] for s in seen["stages"]] == [9, 3, 1, 5, 1, 3], f"stages {seen['stages']}")
    check_rungs(seen)
    failed = [u["unit"] for u in seen["units"] if u["state"] == "failed"]
    spent, anew = check_steps(follower, job, seen)
    found = min(u["score"] for u in seen["units"] if u.get("score") is not None)
    return why[0], failed, spent, anew, found


def scripts_go_on(follower):
    """A script in a later rung gets the checkpoint that the one before it left at its end."""
    run_line = ("had=0; [ -n \"$SHOAL_RESUME_FROM\" ] && had=$(cat \"$SHOAL_RESUME_FROM/rounds\"); "
                "echo \"from $had to $ROUNDS\"; echo $ROUNDS > \"$SHOAL_CHECKPOINT_DIR/rounds\"; "
                "echo \"SHOAL {\\\"step\\\": $ROUNDS, \\\"cost\\\": $WIDTH, \\\"checkpoint\\\": \\\"rounds\\\"}\"")
    sweep = {"method": "hyperband", "max_resource": 4, "eta": 2, "resource": "ROUNDS",
             "metric": "cost", "parameters": {"WIDTH": {"int": [1, 1000]}}}
    spec = dict(script("rounds", sweep), run=[run_line], env={"ROUNDS": "1"})
    del spec["outputs"]
    job = follower.submit(spec)["id"]
    finished(follower, job, END_S)
    seen = sweep_of(follower, job)
    lines = follower.read(f"/jobs/{job}/logs?limit=1000")["lines"]
    said = {line["unit"]: line["text"] for line in lines if line["text"].startswith("from ")}
    for unit in seen["units"]:
        before = unit.get("goes_on_from", {}).get("unit")
        had = seen["units"][before]["values"]["ROUNDS"] if before is not None else 0
        want = f"from {had} to {unit['values']['ROUNDS']}"
        require(said[unit["unit"]] == want, f"unit {unit['unit']}: {said[unit['unit']]}, not {want}")


def random_search(follower, trials):
    spec = training("search", {"method": "random", "trials": trials, "seed": 3,
                               "parameters": {LR: {"log_uniform": [1e-4, 1e3]}}}, epochs=9)
    spec["retries"] = 0
    job = follower.submit(spec)["id"]
    finished(follower, job, END_S)
    scores = [u["score"] for u in sweep_of(follower, job)["units"] if u.get("score") is not None]
    return min(scores) if scores else float("inf")


def body():
    with Mesh() as mesh:
        agents = mesh.three(extra=["--allow-commands"])
        mesh.wait_voters(agents)
        leader = agreed_leader(agents)
        follower = next(a for a in agents if a is not leader)
        _, seen = grid(agents, leader, follower)
        same_as_alone(follower, seen)
        random(mesh, follower)
        _, failed, spent, anew, found = hyperband(follower)
        scripts_go_on(follower)
        configurations = 9 + 5 + 3
        full = configurations * 9
        beside = random_search(follower, configurations)
        require(failed, "no configuration diverged: the bar does not show what becomes of one")
        require(spent < anew < full, f"{spent} epochs of {anew} of {full}")
        require(found <= 1.1 * beside, f"Hyperband found {found}, random search {beside}")
        print(f"grid: 6 units, 6 models, one killed agent; hyperband: {configurations} configurations in "
              f"{spent} epochs instead of {full} ({full / spent:.1f} times less), {anew - spent} of "
              f"{anew} saved by going on from the rung before, {len(failed)} units "
              f"failed; best val_loss {found:.4f}, random search in {full} epochs {beside:.4f}")


if __name__ == "__main__":
    judge(body)
