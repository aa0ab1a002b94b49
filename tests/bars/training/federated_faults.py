#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Members of federated rounds that fail, on agents that each have a part of a local data set:
- two of four are killed with SIGKILL in the middle of rounds: the job finishes with exactly its
  rounds, and the rounds name who was lost;
- a member whose training gives no finite numbers, and one whose part of the data cannot be read, are
  named with the reason and left out, round for round; the others' models are finite and good;
- where too few are left for `min`, the job ends and says so: it does not wait for ever.
Prints what was named.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from federated import (FEATURES, PARTS, declare, delivered, job, parts_of, records, rows, table,
                       text_of, trained, wait_round)
from mesh import finished, require, run
from training import submit

ROUNDS = 40


def killed(mesh, agents):
    """One of the two votes; the coordinator may be it."""
    observer = agents[0]
    job_id = submit(mesh, observer, job(ROUNDS, local_epochs=4, min=1))
    wait_round(observer, job_id, 3)
    for victim in agents[2:4]:
        victim.kill()
    row = finished(observer, job_id, 120)
    seen = records(observer, job_id)
    require(len(seen) == ROUNDS, f"{len(seen)} records of {ROUNDS} rounds")
    require(row["unit_list"][0]["outcome"]["steps"] == ROUNDS, f"its steps: {row['unit_list']}")
    lost = {name for record in seen for name, part in parts_of(record).items() if part == "lost"}
    gone = {agent.name for agent in agents[2:4]}
    # A member that dies between two rounds is not asked again: it is missing then, not lost.
    require(lost <= gone, f"lost: {lost}, killed: {gone}")
    last = set(delivered(seen[-1]))
    require(last == {agents[0].name, agents[1].name}, f"in the last round: {last}")
    history = [event["cause"] for event in row["history"]]
    require(any("member" in cause or "lost" in cause for cause in history), f"history: {history}")
    return sorted(lost) or sorted(gone)


def broken(mesh, agents):
    """beta's numbers overflow, gamma's part is no table any more when training begins."""
    declare(mesh, agents[:1], "mixed")
    huge = [line.replace(line.split(",")[0], "1e38", 1) for line in rows(*PARTS[1])]
    path = mesh.path("mixed-huge.csv", table(huge))
    mesh.must(["dataset", "add", "mixed", path, "--local", "--peer", agents[1].api])
    path = mesh.path("mixed-bad.csv", table(rows(*PARTS[2])))
    mesh.must(["dataset", "add", "mixed", path, "--local", "--peer", agents[4].api])
    with open(path, "w", encoding="utf-8") as file:
        file.write("not,a\ntable\n")
    job_id, seen, _ = trained(mesh, agents[0], job(3, name="mixed", min=1))
    why = {}
    for record in seen:
        require(delivered(record) == [agents[0].name], f"took part: {record}")
        for row in record["members"]:
            if row["part"] == "failed":
                why[row["agent"]] = row["why"]
    # Had it to lead the rounds first, it gave that up: the history of the job says why.
    for event in agents[0].job(job_id)["history"]:
        if "its own journal says why" in text_of(event):
            why.setdefault(agents[4].name, event["message"])
    require(set(why) == {agents[1].name, agents[4].name},
            f"named: {why}; {agents[0].job(job_id)['history']}")
    require("finite" in why[agents[1].name], f"beta: {why}")
    # What is wrong with its data only the agent that holds them tells.
    require("its own journal says why" in why[agents[4].name], f"epsilon: {why}")
    require("mixed-bad.csv: no column" in agents[4].journal(), "epsilon's journal says nothing")
    final = agents[0].read(f"/jobs/{job_id}/rounds")["evaluation"]
    require(final["val_correct"] / final["val_total"] > 0.6, f"the model: {final}")
    return why


def starved(mesh, agents):
    declare(mesh, agents[:2], "few")
    job_id = submit(mesh, agents[0], job(9, name="few", min=3, deadline=1, skips=2))
    row = finished(agents[0], job_id, 60, state="failed")
    text = row["failure"]["message"]
    require("2 rounds in a row had fewer than 3 updates" in text, f"why: {text}")
    require([r["outcome"] for r in records(agents[0], job_id)] == ["skipped"] * 2, "two skipped")
    return text


def main(mesh):
    agents = mesh.three()
    for name in ("delta", "epsilon"):
        agents.append(mesh.add(name, join=agents[:1]).start())
    why = broken(mesh, agents)
    text = starved(mesh, agents)
    declare(mesh, agents[:4])
    lost = killed(mesh, agents)
    print(f"killed {lost} and finished; left out: {why}; too few: {text} ({FEATURES} features)")


if __name__ == "__main__":
    run(main)
