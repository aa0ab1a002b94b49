#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a script and a training job left, as tar archives from a follower of four agents after the
agents that did the work are gone: the job file as it was submitted, history with times, metrics equal
to those that the API tells, a log of each attempt, models, checkpoints and outputs byte for byte; the
same archive from every agent. A checkpoint of a training job by its step. What newer jobs have taken
the place of is gone.
"""
import hashlib
import io
import json
import os
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, finished, require, run, until

NAMES = ("alpha", "beta", "gamma", "delta")
OPTIONS = ["--allow-commands", "--collect-grace", "5s", "--collect-every", "5s"]
DEEP = "/".join(["folder-with-a-long-name"] * 7)
SCRIPT = {"api": "shoal/v1", "kind": "exec", "name": "study", "replicas": 2, "retries": 1,
          "model_file": "net.bin", "outputs": ["net.bin", "out"],
          "keep": {"results": 1},
          "run": ["echo words of unit $SHOAL_UNIT; echo 'SHOAL {\"step\": 1, \"loss\": 0.5}'; "
                  "echo 'SHOAL {\"step\": 2, \"loss\": 0.25}'; echo $SHOAL_UNIT > net.bin; "
                  f"mkdir -p out/{DEEP}; echo deep > out/{DEEP}/file; ln -s ../net.bin out/link; "
                  # The first gangs are placed by the entries right behind that of the job.
                  "if [ $SHOAL_UNIT = 1 ] && [ $SHOAL_ATTEMPT -lt $((SHOAL_JOB + 3)) ]; "
                  "then exit 3; fi"]}
TRAIN = {"api": "shoal/v1", "kind": "train", "name": "digits",
         "data": {"train": "builtin:digits", "test": "builtin:digits-test"},
         "model": {"input": [1, 28, 28], "layers": ["flatten", {"dense": 10}]},
         "train": {"batch": 512, "ranks": 4, "epochs": 2}, "checkpoint": {"every_steps": 8, "keep": 3},
         "resources": {"agents": 1}}


def archive(agent, job):
    answer = agent.get(f"/jobs/{job}/bundle", timeout=90)
    require(answer.status == 200, f"{agent.name}: {answer}")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(answer.body), mode="r:") as tar:
        for member in tar:
            root, _, path = member.name.partition("/")
            content = tar.extractfile(member).read() if member.isfile() else member.linkname
            files[path] = content
    return answer.body, files, root


def check_script(agents, follower, job):
    row = follower.job(job)
    body, files, root = archive(follower, job)
    require(root == f"study-{job}", root)
    require(json.loads(files["job.json"]) == row["spec"], "another job file")
    status = json.loads(files["status.json"])
    require([e["cause"] for e in status["history"]] == [e["cause"] for e in row["history"]] and
            all(e["at_us"] > 0 for e in status["history"]), "another history")
    require(len(status["unit_list"]) == 2, f"{status['unit_list']}")
    require(files["metrics.csv"] ==
            follower.get(f"/jobs/{job}/metrics?format=csv").body,
            f"other metrics:\n{files['metrics.csv'].decode()}")
    logs = {p: c.decode() for p, c in files.items() if p.startswith("logs/")}
    attempts = [p for p in logs if p.startswith("logs/unit-1/") and "words of unit 1" in logs[p]]
    require(len(attempts) == 2, f"unit 1 ran twice: {sorted(logs)}")
    require(any("words of unit 0" in text for text in logs.values()), f"{sorted(logs)}")
    models = [c for p, c in sorted(files.items()) if p.startswith("models/")]
    require(sorted(models) == [b"0\n", b"1\n"], f"models: {models}")
    for unit in ("0", "1"):
        require(files[f"outputs/unit-{unit}/net.bin"] == unit.encode() + b"\n", "other outputs")
        require(files[f"outputs/unit-{unit}/out/{DEEP}/file"] == b"deep\n", "a long path")
        require(files[f"outputs/unit-{unit}/out/link"] == "../net.bin", "a link")
    for agent in agents:
        require(archive(agent, job)[0] == body, f"{agent.name}: another archive")


def check_training(follower, job):
    row = follower.job(job)
    listed = follower.read(f"/jobs/{job}/checkpoints")["checkpoints"]
    require(len(listed) >= 2, f"{listed}")
    for c in listed:
        got = follower.get(f"/jobs/{job}/checkpoints/{c['step']}", timeout=60)
        require(got.status == 200 and
                hashlib.blake2b(got.body, digest_size=32).hexdigest() == c["digest"],
                f"checkpoint of step {c['step']}: {got.status}")
    require(follower.get(f"/jobs/{job}/checkpoints/1").status == 404, "a step without one")
    require(follower.get(f"/jobs/{job}/checkpoints/x").status == 400, "no step")
    _, files, _ = archive(follower, job)
    newest = max(c["step"] for c in listed)
    require(f"checkpoints/unit-0-step-{newest}" in files, f"{sorted(files)}")
    model = next(c for p, c in files.items() if p.startswith("models/digits-"))
    require(hashlib.blake2b(model, digest_size=32).hexdigest() ==
            row["unit_list"][0]["outcome"]["file_digest"], "another model")
    require(files["metrics.csv"] == follower.get(f"/jobs/{job}/metrics?format=csv").body and
            b"val_loss" in files["metrics.csv"], "other metrics")


def workers(agent, job):
    return {n["name"] for e in agent.job(job)["history"] for n in e["nodes"]}


def main(mesh):
    agents = [mesh.add(NAMES[0], extra=OPTIONS).start()]
    for name in NAMES[1:]:
        agents.append(mesh.add(name, join=agents[:1], extra=OPTIONS).start())
    until("three agents vote", 40, lambda: sum(
        n["voter"] for n in agents[0].nodes().values()) == 3)
    follower = next(a for a in agents if a is not agreed_leader(agents))
    script = follower.submit(SCRIPT)["id"]
    finished(follower, script, 90)
    training = follower.submit(TRAIN)["id"]
    finished(follower, training, 90)
    until("copies of the model", 30,
          lambda: len(follower.read("/models/digits")["holders"]) >= 3)
    # Points and lines are copied to others every half second: those of a job that ended before
    # another one of a second began are.
    finished(follower, follower.submit({"api": "shoal/v1", "kind": "exec", "name": "second",
                                        "run": ["sleep 1"]})["id"], 60)
    victim = next(a for a in agents if a.name in workers(follower, training))
    victim.kill()
    rest = [a for a in agents if a is not victim]
    reader = next(a for a in rest if a.name not in workers(rest[0], script)) \
        if len(workers(rest[0], script)) < 3 else rest[0]
    until("the others have a coordinator", 20, lambda: reader.get(f"/jobs/{script}").status == 200)
    check_script(rest, reader, script)
    check_training(reader, training)
    path = mesh.path("bundle.tar")
    mesh.must(["bundle", script, "-o", path, "--peer", reader.api])
    with open(path, "rb") as file:
        require(file.read() == archive(rest[0], script)[0], "another archive by the command line")
    again = reader.submit(SCRIPT)["id"]
    finished(reader, again, 90)
    require(reader.get(f"/jobs/{script}/bundle").status == 410, "results that are gone")
    print(f"two archives from {len(rest)} agents after {victim.name} was lost: all is in them")


if __name__ == "__main__":
    run(main)
