#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""List and watch on three real agents under load: a client takes a list, watches from its revision,
and goes on at another agent whenever the serving one is killed (kill -9, four times, coordinator or
not). At the end what it was told is compared with the history of every job: each event once, in the
order of the log, none missing. `shoal watch` is shown the same.
"""
import http.client
import json
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Unreachable, equal_states, finished, noop, require, run, until

KILLS = 4
JOBS_BETWEEN = 40


class Watcher:
    """A client of its own: follows server-sent events, and moves on with its last id."""

    def __init__(self, agents, revision):
        self.agents = agents
        self.last = revision
        self.serving = None
        self.seen = []  # (revision, job, seq)
        self.moves = 0
        self.refusals = []
        self.done = False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        at = 0
        while not self.done:
            agent = self.agents[at % len(self.agents)]
            at += 1
            try:
                self.follow(agent)
            except (OSError, http.client.HTTPException):
                pass
            self.serving = None

    def follow(self, agent):
        link = http.client.HTTPConnection("127.0.0.1", agent.api_port, timeout=8)
        try:
            link.request("GET", "/api/v1/jobs?watch=1", headers={"Last-Event-ID": str(self.last)})
            reply = link.getresponse()
            if reply.status != 200:
                if reply.status != 503:
                    self.refusals.append((agent.name, reply.status, reply.read()))
                return
            self.serving = agent
            self.moves += 1
            fields = {}
            for line in reply:
                word, _, value = line.decode().rstrip("\n").partition(": ")
                if word:
                    fields[word] = value
                elif fields:
                    self.take(fields)
                    fields = {}
                if self.done:
                    return
        finally:
            link.close()

    def take(self, fields):
        if fields.get("event") == "change":
            change = json.loads(fields["data"])
            self.seen.append((change["revision"], change["job"]["id"], change["event"]["seq"]))
        if "id" in fields:
            self.last = int(fields["id"])

    def stop(self):
        self.done = True
        self.thread.join(20)


def submit_some(agents, tag):
    """Jobs at whoever takes them; their ids."""
    ids = []
    for number in range(JOBS_BETWEEN):
        key = f"{tag}-{number}"
        for agent in agents:
            try:
                answer = agent.call("POST", "/jobs", noop(key, 2), {"Idempotency-Key": key})
            except Unreachable:
                continue
            if answer.status in (200, 201):
                ids.append(answer.json["id"])
                break
        else:
            require(False, f"nobody took job {key}")
    return ids


def compare(agent, watcher, jobs):
    until("the watch has seen the end", 20,
          lambda: watcher.last >= agent.status()["applied_index"])
    truth = sorted((event["index"], job, event["seq"])
                   for job in jobs for event in agent.read(f"/jobs/{job}")["history"])
    require(not watcher.refusals, f"refused: {watcher.refusals[:3]}")
    missing = sorted(set(truth) - set(watcher.seen))
    require(not missing, f"{len(missing)} of {len(truth)} changes never came: {missing[:5]}")
    require(watcher.seen == truth, "changes came twice, out of order, or from nowhere")
    return len(truth)


def main(mesh):
    agents = mesh.three()
    old = agents[0].submit(noop("before", 1))["id"]
    finished(agents[0], old, 20)
    revision = agents[1].read("/jobs")["revision"]
    watcher = Watcher(agents, revision)
    cli = subprocess.Popen([mesh.shoal, "watch", "--json", "--from", str(revision), "--peer",
                            ",".join(agent.api for agent in agents)], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, env=mesh.environment())
    told = []
    reader = threading.Thread(target=lambda: told.extend(cli.stdout), daemon=True)
    reader.start()
    jobs = []
    try:
        for kill in range(KILLS):
            jobs += submit_some(agents, f"a{kill}")
            victim = until("an agent serves the watch", 20, lambda: watcher.serving)
            victim.kill()
            jobs += submit_some([a for a in agents if a is not victim], f"b{kill}")
            victim.start()
            mesh.wait_voters(agents)
        for job in jobs:
            finished(agents[0], job, 60)
        equal_states(agents, 20)
        count = compare(agents[0], watcher, jobs)
        until("shoal watch has shown as much", 20, lambda: len(told) >= count)
    finally:
        watcher.stop()
        cli.kill()
        cli.wait()
    shown = [json.loads(line) for line in told]
    require([(c["revision"], c["job"]["id"], c["event"]["seq"]) for c in shown] == watcher.seen,
            "shoal watch showed something else")
    require(watcher.moves > KILLS, f"the watch moved only {watcher.moves - 1} times")
    print(f"{count} changes of {len(jobs)} jobs, each once and in order, across kills of the serving "
          "agent:")
    print(KILLS)


if __name__ == "__main__":
    run(main)
