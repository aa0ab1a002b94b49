#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The live stream of a script with three units, seen at two followers of four agents at once while the
script runs: lines arrive within a second of being written, both viewers see the same events in the
same order, one that breaks off and goes on at another agent loses none; a model is told with its
digest and where it is, and what is fetched there later has that digest. After an agent that did the
work is killed its lines are still there, by unit and attempt, the last hundred too, and the points
that were seen live are those that are stored.
"""
import hashlib
import http.client
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import API, agreed_leader, finished, require, run, until

NAMES = ("alpha", "beta", "gamma", "delta")
STEPS = 40
PERIOD_S = 0.1
LATEST_S = 1.0
UNITS = 3
JOB = {"api": "shoal/v1", "kind": "exec", "name": "talk", "replicas": UNITS, "model_file": "net.bin",
       "run": [f"i=0; while [ $i -lt {STEPS} ]; do i=$((i + 1)); "
               "echo \"said $SHOAL_UNIT $i $(date +%s.%N)\"; "
               "echo \"SHOAL {\\\"step\\\": $i, \\\"loss$SHOAL_UNIT\\\": 0.$i}\"; "
               f"sleep {PERIOD_S}; done; echo $SHOAL_UNIT > net.bin"]}


class Viewer(threading.Thread):
    """Reads a job's stream; (type, data, id, when it came) go to events, in order."""

    def __init__(self, agent, job, since=None):
        super().__init__(daemon=True)
        self.agent, self.job, self.since = agent, job, since
        self.events = []
        self.link = None
        self.start()

    def run(self):
        self.link = http.client.HTTPConnection("127.0.0.1", self.agent.api_port, timeout=60)
        headers = {"Last-Event-ID": self.since} if self.since else {}
        try:
            self.link.request("GET", f"{API}/jobs/{self.job}/events", headers=headers)
            stream = self.link.getresponse()
            kind = number = None
            for raw in stream:
                line = raw.decode().rstrip("\n")
                if line.startswith("id: "):
                    number = line[4:]
                elif line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    self.events.append((kind, json.loads(line[6:]), number, time.time()))
                    if kind == "end":
                        return
        except (OSError, http.client.HTTPException, AttributeError, ValueError):
            pass  # cut

    def cut(self):
        """Breaks the connection off."""
        try:
            self.link.sock.shutdown(2)
        except (OSError, AttributeError):
            pass

    def of(self, kind):
        return [data for k, data, _, _ in list(self.events) if k == kind]


def lines_of(viewers):
    return [line for viewer in viewers for line in viewer.of("log") if not line["own"]]


def check_latency(viewer):
    late = []
    for kind, data, _, came in viewer.events:
        if kind == "log" and data["text"].startswith("said "):
            late.append(came - float(data["text"].split()[3]))
    require(len(late) == UNITS * STEPS, f"{len(late)} lines of {UNITS * STEPS}")
    late.sort()
    middle, worst = late[len(late) // 2], late[int(len(late) * 0.99)]
    require(middle < LATEST_S, f"lines come {middle:.2f} s late")
    return middle, worst


def check_models(viewer, agent):
    models = viewer.of("model")
    require(len(models) == UNITS and {m["unit"] for m in models} == set(range(UNITS)), f"{models}")
    for model in models:
        got = agent.get(model["url"][len(API):], timeout=30)
        require(got.status == 200 and hashlib.blake2b(got.body, digest_size=32).hexdigest() ==
                model["file_digest"], f"{model['url']}: {got}")
        require(got.body == f"{model['unit']}\n".encode(), "the model of another unit")


def check_points(viewer, agent, job):
    live = {}
    for point in viewer.of("metric"):
        live.setdefault(point["name"], {})[point["step"]] = point["value"]
    stored = agent.read(f"/jobs/{job}/metrics")["series"]
    kept = {name: {p[0]: p[1] for p in points} for name, points in stored.items()}
    require(live == kept, f"live {sorted(live)} are not the stored {sorted(kept)}")
    losses = {name: len(points) for name, points in kept.items() if "loss" in name}
    require(list(losses.values()) == [STEPS] * UNITS, f"points: {losses}")


def main(mesh):
    agents = [mesh.add(NAMES[0], extra=["--allow-commands"]).start()]
    for name in NAMES[1:]:
        agents.append(mesh.add(name, join=agents[:1], extra=["--allow-commands"]).start())
    until("three agents vote", 40, lambda: sum(
        n["voter"] for n in agents[0].nodes().values()) == 3)
    leader = agreed_leader(agents)
    followers = [a for a in agents if a is not leader]
    job = followers[0].submit(JOB)["id"]
    whole = Viewer(followers[0], job)
    first = Viewer(followers[1], job)
    until("a third of the lines", 60, lambda: len(first.of("log")) > UNITS * STEPS // 3)
    first.cut()
    first.join(10)
    since = first.events[-1][2]
    second = Viewer(followers[2], job, since)
    finished(followers[0], job, 90)
    for viewer in (whole, second):
        viewer.join(30)
        require(viewer.of("end"), f"the stream at {viewer.agent.name} did not end")
    seen, again = lines_of([whole]), lines_of([first, second])
    require([line["seq"] for line in seen] == [line["seq"] for line in again],
            f"{len(seen)} lines at one, {len(again)} at two that follow each other")
    history = [e["seq"] for e in whole.of("event")]
    require(history == sorted(set(history)) and history ==
            [e["seq"] for e in first.of("event") + second.of("event")], f"{history}")
    middle, worst = check_latency(whole)
    check_models(whole, followers[1])
    check_points(whole, followers[1], job)

    worker = next(a for a in agents for e in followers[0].job(job)["history"]
                  for n in e["nodes"] if n["name"] == a.name and a is not leader)
    worker.kill()
    reader = next(a for a in followers if a is not worker)
    until("its lines are elsewhere", 20, lambda: len(
        [x for x in reader.read(f"/jobs/{job}/logs")["lines"] if not x["own"]]) == len(seen))
    tail = reader.read(f"/jobs/{job}/logs?tail=100")["lines"]
    every = reader.read(f"/jobs/{job}/logs")["lines"]
    require(tail == every[-100:], "the last hundred lines are others")
    out = mesh.must(["logs", job, "--tail", "100", "--peer", reader.api]).splitlines()
    require(len(out) == 100, f"{len(out)} lines by the command line")
    for unit in range(UNITS):
        generation = next(x["generation"] for x in seen if x["unit"] == unit)
        lines = reader.read(f"/jobs/{job}/logs?unit={unit}&generation={generation}")["lines"]
        said = [x["text"].split()[2] for x in lines if x["text"].startswith("said ")]
        require(said == [str(i) for i in range(1, STEPS + 1)], f"unit {unit}: {said}")
    check_points(whole, reader, job)
    print(f"{len(seen)} lines, in the middle {middle * 1000:.0f} ms late, 99 % within "
          f"{worst * 1000:.0f} ms; {UNITS} models told; all there without {worker.name}")


if __name__ == "__main__":
    run(main)
