#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What jobs need of agents, what agents offer, and what owners may use: three agents, later five,
asked through one that follows.

inventory: GET /nodes/NAME of any agent says what this machine has, labels, data sets, models.
settings: a change at one agent is read at another; a wrong key or value is named.
reserve: of three agents one is kept for predictions: a job that wants three gets two, and a
prediction is answered at once while all other slots are taken.
quota: units of an owner never run more than so many at a time; slots: nor on one agent.
priority: what comes later and first in the queue overtakes what waits.
labels: a job that no agent can take waits with the reason of each, says so in its log after 30 s,
and starts when an agent joins that has the label; a pin keeps units on the agents it names.
policy: an agent out of its hours gets nothing, and why and nodes say that.
drain, and a member of gangs that fails again and again: it alone goes into quarantine, tests itself
when it is paroled, and comes back on trial.
Fast: part of every test run.
"""
import contextlib
import json
import os
import platform
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from every_verb import table, training
from mesh import agreed_leader, finished, require, run, until

OPEN_S = 20
PREDICT_S = 5
LABELS = {"disk": "nvme", "fast": ""}


def script(name, command, replicas=1, priority=50, retries=0, **resources):
    resources.setdefault("cpus", 0)
    return {"api": "shoal/v1", "kind": "exec", "name": name, "run": [command],
            "replicas": replicas, "priority": priority, "retries": retries,
            "sandbox": {"level": "none"}, "resources": resources}


class Gate:
    """Commands that run until a file is there."""

    def __init__(self, mesh, name):
        self.path = mesh.path(f"gates/{name}")
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.command = f"while [ ! -e {self.path} ]; do sleep 0.05; done"

    def open(self):
        with open(self.path, "w", encoding="utf-8"):
            pass


def members(agent, job):
    """Names of the agents that the units of a job are on, one a member."""
    units = agent.job(job)["unit_list"]
    return [m["name"] for unit in units if unit["state"] == "running" for m in unit["members"]]


def most_at_once(agent, job):
    """Of the units of a job, by its history."""
    now = most = 0
    for event in agent.job(job)["history"]:
        now += event["cause"] == "placed"
        now -= event["cause"] == "committed its result"
        most = max(most, now)
    return most


def says(agent, job, line):
    answer = agent.call("GET", f"/jobs/{job}/why")
    return answer.status == 200 and any(line in each for each in answer.json["lines"])


def await_why(agent, job, line, seconds=OPEN_S):
    try:
        until(f"why says {line!r}", seconds, lambda: says(agent, job, line))
    except Exception as late:
        raise type(late)(f"{late}; it says {agent.why(job)}") from late


def submit_for(agent, job, owner):
    answer = agent.call("POST", f"/jobs?owner={owner}", job)
    require(answer.status == 201, f"submit for {owner}: {answer}")
    return answer.json["id"]


# ---- inventory ----

def inventory(mesh, agents, follower):
    data = mesh.path("points.csv", table())
    mesh.must(["dataset", "add", "points", data, "--node", "gamma", "--peer", follower.api])
    job = dict(training("dataset:points"), data={"train": "dataset:points", "validation": 0.2})
    finished(follower, follower.submit(job)["id"], 60)
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for agent in agents:
        node = until("the model is kept", OPEN_S,
                     lambda a=agent: (lambda n: n if n["models"] else None)(a.read("/nodes/gamma")))
        require(node["cpus"] == len(os.sched_getaffinity(0)), f"cpus: {node['cpus']}")
        require(abs(node["ram_bytes"] - ram) <= ram // 1000, f"ram: {node['ram_bytes']}, not {ram}")
        require(node["arch"] == platform.machine(), f"arch: {node['arch']}")
        require(node["labels"] == LABELS, f"labels: {node['labels']}")
        require(node["datasets"] == ["points"], f"data sets: {node['datasets']}")
        require(node["models"] == ["line:1"], f"models: {node['models']}")
        require(node["slots"] == 2 and node["disk_bytes"] > 0, f"slots and disk: {node}")
        require(agent.read("/nodes/beta")["labels"] == {}, "beta has labels")


# ---- settings, reserve, quota, slots ----

def settings(follower, other):
    answer = follower.call("PUT", "/config", {"reserve": 0.34})
    require(answer.status == 200, f"PUT /config: {answer}")
    seen = other.read("/config")["config"]
    require(seen == {"reserve": 0.34}, f"another agent shows {seen}")
    for body, field in (({"colour": 1}, "key"), ({"reserve": 2}, "reserve"),
                        ({"quota.alice": 0}, "quota.alice")):
        answer = follower.call("PUT", "/config", body)
        error = (answer.json or {}).get("error", {})
        require(answer.status == 400 and error.get("field") == field, f"PUT {body}: {answer}")


def reserve(mesh, follower, other):
    gate = Gate(mesh, "reserve")
    job = follower.submit(script("spread", gate.command, 3, per_node=1))["id"]
    until("two units run", OPEN_S, lambda: len(members(follower, job)) == 2)
    await_why(follower, job, "is kept for predictions")
    require(len(set(members(follower, job))) == 2, "the reserve was used")
    load = follower.submit(script("load", gate.command, 8))["id"]
    until("every slot but those of the reserve is taken", OPEN_S,
          lambda: len(members(follower, load)) == 2)
    asked = {"api": "shoal/v1", "kind": "predict", "name": "asked", "model": "line",
             "input": mesh.path("inputs.csv", "0.1,0.9\n0.9,0.1\n")}
    start = time.monotonic()
    mesh.must(["submit", "--wait", mesh.path("predict.json", json.dumps(asked)), "--peer",
               follower.api])
    took = time.monotonic() - start
    require(took < PREDICT_S, f"a prediction took {took:.1f} s beside a full queue")
    require(len(members(follower, load)) == 2, "the reserve was used by other work")
    mesh.must(["config", "unset", "reserve", "--peer", other.api])
    until("three units run", OPEN_S, lambda: len(set(members(follower, job))) == 3)
    gate.open()
    finished(follower, job, 30)
    finished(follower, load, 30)
    print(f"a prediction took {took:.1f} s while every other slot was taken")


def quota(mesh, follower, other):
    mesh.must(["config", "set", "quota.alice=1", "--peer", other.api])
    gate = Gate(mesh, "quota")
    job = submit_for(follower, script("of-alice", gate.command, 4), "alice")
    bobs = submit_for(follower, script("of-bob", gate.command, 2), "bob")
    until("one unit of alice and two of bob run", OPEN_S,
          lambda: len(members(follower, job)) == 1 and len(members(follower, bobs)) == 2)
    await_why(follower, job, "its owner has as many units running as allowed (needs 1, has 1)")
    gate.open()
    finished(follower, job, 60)
    finished(follower, bobs, 30)
    require(most_at_once(follower, job) == 1, f"{most_at_once(follower, job)} units at once")
    mesh.must(["config", "unset", "quota.alice", "--peer", other.api])


def slots(follower):
    job = follower.submit(script("slots", "sleep 0.2", 7, nodes={"allow": ["beta"]}))["id"]
    row = finished(follower, job, 60)
    most = most_at_once(follower, job)
    require(most == 2, f"{most} units at once on an agent of two slots")
    ran = {node["name"] for event in row["history"] for node in event.get("nodes", [])}
    require(ran == {"beta"}, f"pinned to beta, ran on {ran}")


def priority(mesh, follower):
    gate = Gate(mesh, "priority")
    pin = {"nodes": {"allow": ["beta"]}}
    full = follower.submit(script("full", gate.command, 2, **pin))["id"]
    until("the slots are full", OPEN_S, lambda: len(members(follower, full)) == 2)
    low = [follower.submit(script(f"low-{i}", "true", priority=10, **pin))["id"] for i in range(3)]
    high = follower.submit(script("high", "true", priority=90, **pin))["id"]
    await_why(follower, low[0], "beta: all its slots are taken")
    await_why(follower, high, "the queue: position 1 ")
    gate.open()
    for job in (full, high, *low):
        finished(follower, job, 30)
    starts = [follower.job(job)["started_us"] for job in (high, *low)]
    require(starts[0] <= min(starts[1:]), f"high started at {starts[0]}, low ones at {starts[1:]}")
    require(starts[1:] == sorted(starts[1:]), f"low ones not in order: {starts[1:]}")


# ---- labels, policy, drain ----

def away_from_now():
    """Hours that begin in three hours and last one, by the clock of this machine."""
    at = time.localtime(time.time() + 3 * 3600)
    return f"{at.tm_hour:02}:{at.tm_min:02}-{(at.tm_hour + 1) % 24:02}:{at.tm_min:02}"


def labels(mesh, agents, follower, impossible):
    job = follower.submit(script("fast", "true", labels=["disk=nvme", "fast", "isa>=base"]))["id"]
    row = finished(follower, job, 30)
    ran = {node["name"] for event in row["history"] for node in event.get("nodes", [])}
    require(ran == {"gamma"}, f"a job for gamma's labels ran on {ran}")
    for agent in agents:
        await_why(agent, impossible, f"{agent.name}: its labels are not those that the job asks "
                  "for (disk=tape)")

    def told():
        lines = [line["text"] for line in follower.read(f"/jobs/{impossible}/logs")["lines"]]
        return lines if any(line.startswith("waits since ") for line in lines) else None
    lines = until("the job's log says why it waits", 45, told)
    require(any("(disk=tape)" in line for line in lines), f"the log says {lines}")
    require(sum(line.startswith("waits since ") for line in lines) == 1, f"said twice: {lines}")
    mesh.add("epsilon", join=agents[:1],
             extra=["--allow-commands", "--sandbox-min", "none", "--label", "disk=tape"]).start()
    finished(follower, impossible, 20)
    require(not says(follower, impossible, "disk=tape"), "the reason stays")


def policy(mesh, agents, follower):
    mesh.add("delta", join=agents[:1], extra=["--allow-commands", "--sandbox-min", "none",
                                              "--hours", away_from_now()]).start()
    until("delta is listed", OPEN_S, lambda: follower.liveness("delta") == "alive")
    pinned = follower.submit(script("night", "true", nodes={"allow": ["delta"]}))["id"]
    await_why(follower, pinned, "delta: takes no work now by its owner's policy (off hours)")
    many = follower.submit(script("many", "true", 24))["id"]
    row = finished(follower, many, 60)
    ran = {node["name"] for event in row["history"] for node in event.get("nodes", [])}
    require("delta" not in ran and len(ran) >= 2, f"ran on {ran}")
    shown = mesh.must(["nodes", "--peer", follower.api])
    line = next(line for line in shown.splitlines() if line.startswith("delta"))
    require("off hours" in line, f"nodes shows {line!r}")
    require(follower.read("/nodes/delta")["policy"] == "off hours", "the API does not say it")
    require(follower.call("POST", f"/jobs/{pinned}/stop").status == 202, "stop")


def drain(mesh, follower):
    mesh.must(["node", "drain", "gamma", "--peer", follower.api])
    job = follower.submit(script("drained", "true", nodes={"allow": ["gamma"]}))["id"]
    await_why(follower, job, "gamma: is draining")
    require(follower.read("/nodes/gamma")["draining"], "nodes does not show it")
    mesh.must(["node", "undrain", "gamma", "--peer", follower.api])
    finished(follower, job, 20)


# ---- quarantine ----

def health(agent, name):
    return (agent.read(f"/nodes/{name}")["health"] or {}).get("state", "good")


def quarantine(mesh, follower):
    command = '[ "$SHOAL_NODE" != beta ] || exit 3; sleep 20'
    pair = {"agents": 2, "nodes": {"allow": ["alpha", "beta"]}}
    for i in range(4):
        job = follower.submit(script(f"broken-{i}", command, **pair))["id"]
        row = finished(follower, job, 40, "failed")
        require("beta: " in row["failure"]["message"], f"the failure: {row['failure']}")
    until("beta is in quarantine", OPEN_S, lambda: health(follower, "beta") == "quarantined")
    require(health(follower, "alpha") == "good", f"alpha is {health(follower, 'alpha')}")
    first = follower.submit(script("trial", "true", nodes={"allow": ["beta"]}))["id"]
    await_why(follower, first, "beta: is in quarantine: too many units failed there (")
    mesh.must(["node", "parole", "beta", "--peer", follower.api])
    finished(follower, first, 30)
    beta = next(agent for agent in mesh.agents if agent.name == "beta")
    require("self-test after the quarantine passed" in beta.journal(), "beta did not test itself")
    until("beta is on trial", OPEN_S, lambda: health(follower, "beta") == "on trial")
    second = follower.submit(script("again", "true", nodes={"allow": ["beta"]}))["id"]
    finished(follower, second, 30)
    until("beta is clear", OPEN_S, lambda: health(follower, "beta") == "good")
    refused = mesh.cli("node", "parole", "beta", "--peer", follower.api)
    require(refused.returncode == 4, f"parole of an agent in no quarantine: {refused}")


@contextlib.contextmanager
def stage(name):
    start = time.monotonic()
    yield
    print(f"{name}: {time.monotonic() - start:.1f} s", flush=True)


def main(mesh):
    extra = ["--allow-commands", "--sandbox-min", "none", "--slots", "2"]
    agents = [mesh.add("alpha", extra=extra).start()]
    agents.append(mesh.add("beta", join=agents[:1], extra=extra).start())
    agents.append(mesh.add("gamma", join=agents[:1], extra=extra + [
        "--label", "disk=nvme", "--label", "fast"]).start())
    mesh.wait_voters(agents)
    leader = agreed_leader(agents)
    follower, other = [agent for agent in agents if agent is not leader]
    impossible = follower.submit(script("tape", "true", labels=["disk=tape"]))["id"]
    with stage("inventory"):
        inventory(mesh, agents, follower)
    with stage("settings"):
        settings(follower, other)
    with stage("reserve"):
        reserve(mesh, follower, other)
    with stage("quota"):
        quota(mesh, follower, leader)
    with stage("slots"):
        slots(follower)
    with stage("priority"):
        priority(mesh, follower)
    with stage("drain"):
        drain(mesh, follower)
    with stage("quarantine"):
        quarantine(mesh, follower)
    with stage("labels"):
        labels(mesh, agents, follower, impossible)
    with stage("policy"):
        policy(mesh, agents, follower)


if __name__ == "__main__":
    run(main)
