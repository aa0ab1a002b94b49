#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pause and resume, all asked of a follower. Training: paused with a checkpoint of that moment, it
uses no processor and no thread, stays paused though all agents are killed and start again, goes on
elsewhere once its agent is gone, and ends with the bytes of the same job undisturbed. A script: it
leaves a checkpoint when it is asked to end, goes on from that elsewhere, and ends with the same
result; one that leaves none begins anew, and the answer says so before. What a state does not allow
is refused with the state and what would be.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, finished, require, run, until
from training import outcome, submit, wait_step

QUIET_S = 3
QUIET_SHARE = 0.15  # of one core, of each agent: what an idle agent of this build uses, and more
END_S = 150
COUNT = 120
SCRIPT = """import json, os, signal, sys, time
state = {"count": 0, "sum": 0}
if "SHOAL_RESUME_FROM" in os.environ:
    with open(os.path.join(os.environ["SHOAL_RESUME_FROM"], "state")) as file:
        state = json.load(file)
print("begins at", state["count"], flush=True)
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
while state["count"] < %d:
    state["count"] += 1
    state["sum"] += state["count"]
    time.sleep(0.05)
    if asked:
        path = os.path.join(os.environ["SHOAL_CHECKPOINT_DIR"], "state")
        with open(path, "w") as file:
            json.dump(state, file)
        print('SHOAL {"step": %%d, "checkpoint": "state"}' %% state["count"], flush=True)
        sys.exit(3)
with open("result", "w") as file:
    file.write(str(state["sum"]))
""" % COUNT


def training(name):
    return {"api": "shoal/v1", "kind": "train", "name": name,
            "data": {"train": "builtin:digits", "validation": 0.1, "test": "builtin:digits-test"},
            "model": {"input": [1, 28, 28],
                      "layers": ["flatten", {"dense": 48}, "relu", {"dense": 10}]},
            "train": {"optimizer": {"sgd": {"lr": 0.05, "momentum": 0.9}}, "batch": 256,
                      "ranks": 4, "epochs": 40, "seed": 3},
            "resources": {"agents": 1}, "checkpoint": {"every_steps": 100000, "keep": 2}}


def script(mesh, name, text, **more):
    os.makedirs(mesh.path(name), exist_ok=True)
    mesh.path(f"{name}/work.py", text)
    return {"api": "shoal/v1", "kind": "exec", "name": name, "package": mesh.path(name),
            "run": [["python3", "work.py"]], "outputs": ["result"], **more}


def where(agent, job):
    """Name of the agent that runs its unit, or None."""
    members = agent.job(job)["unit_list"][0].get("members", [])
    return members[0]["name"] if members else None


def threads(agent, job):
    root = f"/proc/{agent.process.pid}/task"
    names = []
    for task in os.listdir(root):
        try:
            with open(f"{root}/{task}/comm", encoding="ascii") as file:
                names.append(file.read().strip())
        except OSError:
            continue  # it ended meanwhile
    return [name for name in names if name.endswith(f"-{job}") or name.startswith("crew")]


def processor_s(agent):
    with open(f"/proc/{agent.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_quiet(agents, job):
    left = {agent.name: threads(agent, job) for agent in agents}
    require(not any(left.values()), f"threads of a paused job: {left}")
    before = {agent.name: processor_s(agent) for agent in agents}
    began = time.monotonic()
    until("a while of quiet", QUIET_S + 5, lambda: time.monotonic() - began >= QUIET_S)
    span = time.monotonic() - began
    used = {agent.name: (processor_s(agent) - before[agent.name]) / span for agent in agents}
    require(max(used.values()) < QUIET_SHARE, f"shares of a core while paused: {used}")
    return used


def state_of(agent, job):
    return agent.job(job)["state"]


def pause(mesh, agent, job, *flags):
    text = mesh.must(["pause", job, *flags, "--peer", agent.api])
    until("it is paused", 30, lambda: state_of(agent, job) == "paused")
    return text


def refused(agent, method, path, body, *words):
    answer = agent.call(method, path, body)
    require(answer.status == 409, f"{method} {path}: {answer}")
    message = answer.json["error"]["message"]
    require(all(word in message for word in words), f"{method} {path}: {message}")


def restart_all(mesh, agents):
    for agent in agents:
        agent.kill()
    for agent in agents:
        agent.launch()
    for agent in agents:
        agent.wait_up()
    mesh.wait_voters(agents)


def train(mesh, agents):
    follower = next(a for a in agents if a is not agreed_leader(agents))
    reference = outcome(follower, submit(mesh, follower, training("undisturbed")), END_S)
    job = submit(mesh, follower, training("paused"))
    refused(follower, "POST", f"/jobs/{job}/resume", None, "only", "pausing or paused")
    wait_step(follower, job, 40, 60)
    asked_at = follower.job(job)["progress"]["step"]
    host = where(follower, job)
    pause(mesh, follower, job)
    kept = follower.read(f"/jobs/{job}/checkpoints")["checkpoints"]
    require(len(kept) == 1 and kept[0]["step"] >= asked_at and len(kept[0]["holders"]) == 2,
            f"asked at step {asked_at}, checkpoints {kept}")
    require("paused until" in follower.why(job)[0], f"why: {follower.why(job)}")
    used = check_quiet(agents, job)
    restart_all(mesh, agents)
    require(state_of(follower, job) == "paused", f"{state_of(follower, job)} after all were killed")
    causes = [event["cause"] for event in follower.job(job)["history"]]
    require(causes == ["submitted", "placed", "asked to pause", "paused"], f"history: {causes}")
    victim = next(a for a in agents if a.name == host)
    asked = next(a for a in agents if a is not victim and a is not agreed_leader(agents))
    victim.kill()
    until("a coordinator without it", 30, lambda: asked.leader() not in (None, victim.name))
    mesh.must(["resume", job, "--peer", asked.api])
    until("it runs elsewhere", 30, lambda: where(asked, job) not in (None, victim.name))
    end = outcome(asked, job, END_S)
    require(end["model_digest"] == reference["model_digest"] and
            end["state_digest"] == reference["state_digest"], f"{end} and {reference}")
    log = asked.get(f"/jobs/{job}/logs?limit=1000&format=text").body.decode()
    require(f"goes on from the checkpoint after step {kept[0]['step']}" in log, log)
    refused(asked, "POST", f"/jobs/{job}/pause", None, "completed", "waiting, running")
    victim.start()
    mesh.wait_voters(agents)
    print(f"training: asked at step {asked_at}, went on from {kept[0]['step']}, quiet {used}")


def scripts(mesh, agents):
    follower = next(a for a in agents if a is not agreed_leader(agents))
    job = submit(mesh, follower, script(mesh, "counts", SCRIPT))
    until("it runs", 30, lambda: state_of(follower, job) == "running")
    until("it counts", 30, lambda: "begins at 0" in
          follower.get(f"/jobs/{job}/logs?limit=100&format=text").body.decode())
    text = pause(mesh, follower, job)
    require("1 unit without a checkpoint" in text, text)
    kept = follower.read(f"/jobs/{job}/checkpoints")["checkpoints"]
    require(len(kept) == 1 and 0 < kept[0]["step"] < COUNT, f"checkpoints: {kept}")
    row = follower.job(job)
    require(row["unit_list"][0]["failures"] == 0, f"a pause counts as a failure: {row}")
    mesh.must(["resume", job, "--peer", follower.api])
    finished(follower, job, END_S)
    log = follower.get(f"/jobs/{job}/logs?limit=1000&format=text").body.decode()
    require(f"begins at {kept[0]['step']}" in log, log)
    folder = mesh.path("counted")
    mesh.must(["outputs", job, "-o", folder, "--peer", follower.api])
    with open(os.path.join(folder, "result"), encoding="ascii") as file:
        require(int(file.read()) == COUNT * (COUNT + 1) // 2, "another sum than undisturbed")
    print(f"script: went on from {kept[0]['step']} of {COUNT}")


def without_checkpoints(mesh, agents):
    """It ignores SIGTERM: with --now it is gone at once."""
    follower = next(a for a in agents if a is not agreed_leader(agents))
    text = ("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "print('begins', flush=True)\ntime.sleep(600)\n")
    job = submit(mesh, follower, script(mesh, "stubborn", text))
    until("it runs", 30, lambda: "begins" in
          follower.get(f"/jobs/{job}/logs?limit=100&format=text").body.decode())
    began = time.monotonic()
    text = pause(mesh, follower, job, "--now")
    require("1 unit without a checkpoint begins anew when resumed\n" in text, text)
    until("its process is gone", 10, lambda: not any(threads(agent, job) for agent in agents))
    print(f"stubborn script: gone {time.monotonic() - began:.1f} s after pause --now")
    mesh.must(["stop", job, "--peer", follower.api])
    require(state_of(follower, job) == "stopped", state_of(follower, job))


def main(mesh):
    agents = mesh.three(extra=["--allow-commands"])
    train(mesh, agents)
    scripts(mesh, agents)
    without_checkpoints(mesh, agents)


if __name__ == "__main__":
    run(main)
