#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One percentage a job, read from two agents in turn all the time: it never goes down, whichever
agent says it, and is 100 where the job is completed and nowhere else. Seen of a script whose first
attempt fails far ahead of where the second begins; of training that is paused, and goes on while the
coordinator is killed; and of a job that gets more replicas while it runs, and more when it has
completed, where it goes on from 99.
"""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Failed, Unreachable, agreed_leader, finished, require, run, until

END_S = 120
FLAKY = """had=0; [ -e HERE/tried ] && had=1
if [ $had = 0 ]; then echo 'SHOAL {"progress": {"done": 8, "total": 10}}'
else echo 'SHOAL {"progress": {"done": 2, "total": 10}}'; echo again; fi
until [ -e HERE/gate$had ]; do sleep 0.05; done
[ $had = 1 ] || { echo tried > HERE/tried; exit 1; }"""
HELD = "[ $SHOAL_UNIT = 0 ] || until [ -e HERE/held ]; do sleep 0.05; done"


class Watcher(threading.Thread):
    """Reads the rows of jobs from agents in turn; notes the first thing that is wrong."""

    def __init__(self, agents):
        super().__init__(daemon=True)
        self.agents = agents
        self.marks = {}
        self.wrong = None
        self.reads = 0
        self.over = threading.Event()

    def watch(self, job):
        self.marks[job] = -1
        return job

    def look(self, agent, job):
        row = agent.job(job)
        percent, before = row["percent"], self.marks[job]
        if (percent == 100) != (row["state"] == "completed"):
            self.wrong = f"{agent.name}: job {job} is {row['state']} at {percent} %"
        reopened = before == 100 and percent == 99
        if percent < before and not reopened:
            self.wrong = f"{agent.name}: job {job} went from {before} % to {percent} %"
        self.marks[job] = percent
        self.reads += 1

    def run(self):
        while not self.over.is_set() and self.wrong is None:
            for agent in self.agents:
                for job in list(self.marks):
                    try:
                        self.look(agent, job)
                    except Unreachable:
                        continue
                    except Failed as refused:
                        if ": 503 " not in str(refused):  # else between two coordinators
                            self.wrong = str(refused)


def script(mesh, name, line, **more):
    return {"api": "shoal/v1", "kind": "exec", "name": name, "run": [line.replace("HERE", mesh.dir).replace("\n", "; ")],
            "sandbox": {"level": "none"}, "resources": {"cpus": 0}, **more}


def training():
    return {"api": "shoal/v1", "kind": "train", "name": "train",
            "data": {"train": "builtin:digits", "validation": 0.1},
            "model": {"input": [1, 28, 28],
                      "layers": ["flatten", {"dense": 48}, "relu", {"dense": 10}]},
            "train": {"optimizer": {"sgd": {"lr": 0.05}}, "batch": 256, "ranks": 4, "epochs": 150},
            "resources": {"agents": 1, "cpus": 0}, "checkpoint": {"every_steps": 200}}


def reaches(watcher, job, percent):
    def probe():
        require(watcher.wrong is None, str(watcher.wrong))
        return watcher.marks[job] >= percent
    until(f"job {job} is at {percent} %", END_S, probe)


def post(agent, path, body=None):
    answer = agent.call("POST", path, body)
    require(answer.status in (200, 202), f"{path}: {answer}")


def retried(mesh, agent, watcher, job):
    reaches(watcher, job, 80)
    mesh.path("gate0", "")
    until("it is tried again", END_S, lambda: any(
        line["text"] == "again" for line in agent.read(f"/jobs/{job}/logs?limit=100")["lines"]))
    require(agent.job(job)["percent"] >= 80, f"{agent.job(job)['percent']} %")
    mesh.path("gate1", "")
    finished(agent, job, END_S)


def resized(mesh, agent, watcher, job):
    reaches(watcher, job, 50)
    for replicas in (4, 5):
        answer = agent.call("PATCH", f"/jobs/{job}", {"replicas": replicas})
        require(answer.status == 202, f"{answer}")
        require(answer.json["percent"] == (50 if replicas == 4 else 99), f"{answer}")
        mesh.path("held", "")
        finished(agent, job, END_S)


def main(mesh):
    agents = mesh.three(extra=["--allow-commands", "--sandbox-min", "none", "--slots", "8"])
    leader = agreed_leader(agents)
    others = [a for a in agents if a is not leader]
    watcher = Watcher(others)
    flaky = watcher.watch(others[0].submit(script(mesh, "flaky", FLAKY, retries=1))["id"])
    held = watcher.watch(others[0].submit(script(mesh, "held", HELD, replicas=2))["id"])
    train = watcher.watch(others[1].submit(training())["id"])
    watcher.start()
    reaches(watcher, train, 1)
    post(others[0], f"/jobs/{train}/pause")
    until("it is paused", 30, lambda: others[0].job(train)["state"] == "paused")
    before = others[0].job(train)["percent"]
    post(others[0], f"/jobs/{train}/resume")
    until("status shows it", 30, lambda: f" {train} train, " in mesh.must(
        ["status", "--peer", others[1].api]))
    retried(mesh, others[0], watcher, flaky)
    resized(mesh, others[1], watcher, held)
    reaches(watcher, train, before + 1)
    leader.kill()
    finished(others[0], train, END_S)
    for job in (flaky, held, train):
        reaches(watcher, job, 100)
    watcher.over.set()
    watcher.join()
    require(watcher.wrong is None, str(watcher.wrong))
    print(f"three jobs in {watcher.reads} reads of two agents: no percentage went down, 100 only at "
          "the end; tried again above 80, paused, more replicas, coordinator killed")


if __name__ == "__main__":
    run(main)
