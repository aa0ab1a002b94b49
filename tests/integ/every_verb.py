#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every verb of the command line against one agent that trains a small table, then the agent ends by
SIGTERM: each with the status it must have. Under the address sanitizer any of them that leaks, or
touches memory that is not its own, ends with another status and says so; so each verb runs once
where it succeeds and once where it gives up early. `demo` is left out: it runs for minutes there.
"""
import json
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mesh import finished, require, run

OK, INTERNAL, USAGE, NOT_FOUND, CONFLICT, DENIED, UNREACHABLE, INVALID = 0, 1, 2, 3, 4, 5, 6, 8
SAMPLES = 160
CONDUCTOR = """<Version><Name>old</Name><TrainingCommands><VersionCommand>
<FileName>python3</FileName><Arguments>train.py</Arguments></VersionCommand></TrainingCommands>
<TargetModels>2</TargetModels></Version>"""
# What a sanitizer ends with: its reports must not pass for a status of ours.
REPORTS = ("Sanitizer", "runtime error")


def table():
    """Two classes that a line parts."""
    chance = random.Random(1)
    rows = []
    for i in range(SAMPLES):
        x, y = chance.uniform(-1, 1), chance.uniform(-1, 1)
        rows.append(f"{x:.3f},{y:.3f},{'up' if y > x else 'down'}")
    return "\n".join(rows) + "\n"


def training(data):
    return {"api": "shoal/v1", "kind": "train", "name": "line",
            "data": {"train": data, "validation": 0.2},
            "model": {"input": [2], "layers": [{"dense": 8}, "relu", {"dense": 2}]},
            "train": {"optimizer": {"adamw": {"lr": 0.01}}, "batch": 32, "ranks": 4, "epochs": 4,
                      "seed": 1},
            "checkpoint": {"every_steps": 5}}


def clean(what, text):
    found = [word for word in REPORTS if word in text]
    require(not found, f"{what}:\n{text}")


class Verbs:
    def __init__(self, mesh, agent):
        self.mesh = mesh
        self.agent = agent
        self.seen = set()

    def __call__(self, line, status, *more, peer=True):
        """One command; the words of its verb come first in line. Its standard output."""
        words = line.split() + list(more)
        where = ["--peer", self.agent.api] if peer else []
        done = self.mesh.cli(*words, *where, seconds=120)
        text = done.stdout + done.stderr
        clean(f"shoal {' '.join(words)}", text)
        require(done.returncode == status,
                f"shoal {' '.join(words)}: status {done.returncode}, not {status}\n{text}")
        self.seen.add(words[0])
        self.seen.add(" ".join(words[:2]))
        return done.stdout

    def none_is_missing(self):
        verbs = set(self("complete", OK, peer=False).split("\n")) - {"", "demo"}
        require(verbs <= self.seen, f"not run: {', '.join(sorted(verbs - self.seen))}")


def without_an_agent(mesh, verb, data):
    verb("version", OK, peer=False)
    verb("help", OK, peer=False)
    verb("help submit", OK, peer=False)
    verb("help nonsense", USAGE, peer=False)
    verb("complete submit", OK, peer=False)
    verb("init --secret", OK, mesh.path("another-secret"), peer=False)
    verb("init --secret", CONFLICT, mesh.path("another-secret"), peer=False)
    verb("config show", OK, peer=False)
    verb("config show --config", INTERNAL, mesh.path("absent.yaml"), peer=False)
    verb("validate", OK, mesh.path("job.json", json.dumps(training(data))), peer=False)
    wrong = dict(training(data), colour="red")
    verb("validate", INVALID, mesh.path("wrong.json", json.dumps(wrong)), peer=False)
    verb("convert", OK, mesh.path("version.xml", CONDUCTOR), peer=False)
    verb("convert", INVALID, mesh.path("wrong.xml", "<Version><Nam/></Version>"), peer=False)
    verb("agent --data", USAGE, mesh.path("empty"), "--secret", mesh.secret, peer=False)
    verb("ps --peer 127.0.0.1:1", UNREACHABLE, peer=False)


def with_an_agent(mesh, verb, agent, data):
    job = json.loads(verb("submit --wait --json", OK, mesh.path("job.json")).splitlines()[-1])["id"]
    finished(agent, job, 60)
    verb("submit", INVALID, mesh.path("wrong.json"))
    verb("watch", OK, str(job))
    verb("ps", OK)
    verb("ps --json", OK)
    verb("metrics", OK, str(job))
    verb("metrics --csv", OK, str(job))
    verb("logs", OK, str(job))
    verb("logs --follow", OK, str(job))
    verb("why", OK, str(job))
    verb("why 999999", NOT_FOUND)
    verb("nodes", OK)
    verb("status", OK)
    verb("node remove", NOT_FOUND, "nobody")
    verb("node remove", CONFLICT, agent.name)
    verb("node drain", OK, agent.name)
    verb("node undrain", OK, agent.name)
    verb("node parole", CONFLICT, agent.name)
    verb("config set reserve=0.25 keep-results=9", OK)
    verb("config set reserve=2", INVALID)
    verb("config set reserve=much", USAGE)
    verb("config get", OK)
    verb("config get", OK, "reserve")
    verb("config unset", OK, "reserve")
    verb("config unset", INVALID, "colour")
    verb("backup", OK, mesh.path("backup"))
    verb("backup", CONFLICT, mesh.path("backup"))
    verb("restore", OK, mesh.path("backup"), "--data", mesh.path("restored"), peer=False)
    verb("restore", CONFLICT, mesh.path("backup"), "--data", mesh.path("restored"), peer=False)
    verb("dataset add points", OK, data)
    verb("dataset add absent", NOT_FOUND, mesh.path("absent.csv"))
    verb("dataset list", OK)
    verb("dataset show points", OK)
    verb("dataset show nothing", NOT_FOUND)
    verb("dataset preview points", OK)
    verb("dataset files points", OK)
    verb("dataset files points --under", INVALID, "../..")
    verb("model list", OK)
    verb("model show line", OK)
    verb("model show nothing", NOT_FOUND)
    verb("model get line --output", OK, mesh.path("line.safetensors"))
    verb("predict line", OK, mesh.path("inputs.csv", "0.1,0.9\n0.9,0.1\n"))
    verb("predict line", INVALID, mesh.path("text.csv", "no numbers at all\n"))
    waits = dict(training(data), resources={"agents": {"min": 2, "max": 2}})
    path = mesh.path("waits.json", json.dumps(waits))
    idle = str(json.loads(verb("submit --json", OK, path))["id"])
    verb("pause", OK, idle)
    verb("pause --now", OK, idle)
    verb("pause", CONFLICT, str(job))
    verb("resume", OK, idle)
    verb("resume", CONFLICT, idle)
    more = json.loads(verb("resume --epochs 5 --json", OK, str(job)))["id"]
    finished(agent, more, 60)
    verb("resume", INVALID, str(job))
    verb("resume --from 7", NOT_FOUND, str(job), "--epochs", "5")
    verb("set", OK, idle, "priority=70")
    verb("set", CONFLICT, idle, "replicas=2")
    verb("set", USAGE, idle, "replicas")
    verb("checkpoints", OK, str(job))
    verb("checkpoints", NOT_FOUND, "999999")
    verb("dataset add apart --local", OK, data)
    verb("dataset preview apart", DENIED)
    verb("dataset list", OK)
    rounds = training(data)
    rounds["data"]["train"] = "dataset:apart"
    rounds["train"].update(classes=["down", "up"])
    del rounds["train"]["epochs"]
    rounds.update(name="rounds", federated={"rounds": 2, "min": 1})
    verb("submit --wait", OK, mesh.path("rounds.json", json.dumps(rounds)))
    verb("rounds rounds", OK)
    verb("rounds rounds --json", OK)
    verb("checkpoints rounds --get 2 -o", OK, mesh.path("round-2.safetensors"))
    verb("rounds", NOT_FOUND, str(job))
    verb("stop", OK, idle)
    verb("stop", CONFLICT, str(job))
    script = {"api": "shoal/v1", "kind": "exec", "name": "script", "package": "scripts",
              "run": ["echo done > out"], "outputs": ["out"]}
    mesh.path("scripts/readme", "a package\n")
    verb("validate", OK, mesh.path("script.json", json.dumps(script)), peer=False)
    verb("submit --wait", OK, mesh.path("script.json"))
    verb("outputs script -o", OK, mesh.path("fetched"))
    verb("outputs script -o", CONFLICT, mesh.path("fetched"))
    verb("outputs", NOT_FOUND, str(job))
    asks = {"api": "shoal/v1", "kind": "predict", "name": "asks", "model": "line",
            "input": "inputs.csv"}
    verb("submit --wait", OK, mesh.path("asks.json", json.dumps(asks)))
    verb("result asks", OK)
    verb("result asks --json", OK)
    verb("result", INVALID, str(job))
    worth = {"api": "shoal/v1", "kind": "evaluate", "name": "worth", "model": "line:1",
             "data": {"test": os.path.basename(data)}}
    verb("submit --wait", OK, mesh.path("worth.json", json.dumps(worth)))
    verb("result worth", OK)
    verb("model show line", OK)
    together = {"api": "shoal/v1", "kind": "ensemble", "name": "together", "models": "line",
                "input": "inputs.csv"}
    verb("submit --wait", OK, mesh.path("together.json", json.dumps(together)))
    verb("result together", OK)
    tuned = dict(training(data), kind="fine-tune", name="tuned", **{"from": "line"})
    verb("submit --wait", OK, mesh.path("tuned.json", json.dumps(tuned)))
    verb("logs script --tail 5", OK)
    sweep = {"method": "grid", "parameters": {"train.seed": [1, 2]}}
    verb("submit --wait", OK, mesh.path("sweep.json", json.dumps(dict(training(data), sweep=sweep))))
    verb("sweep line", OK)
    verb("sweep line --top 1", OK)
    verb("sweep line --json", OK)
    verb("sweep script", NOT_FOUND)
    walk = {"api": "shoal/v1", "kind": "rl", "name": "walker", "train": {"iterations": 50},
            "events": {"episodes": 100, "states": 400}}
    verb("submit --wait", OK, mesh.path("walk.json", json.dumps(walk)))
    verb("replay walker 400 --states", OK)
    verb("replay walker 800", NOT_FOUND)
    verb("replay line 1", INVALID)
    verb("evaluate walker --episodes 10", OK)
    verb("evaluate line", INVALID)
    verb("predict walker", INVALID, mesh.path("inputs.csv"))
    verb("watch walker", OK)
    verb("model list", OK)
    verb("bundle script -o", OK, mesh.path("script.tar"))
    verb("bundle 999999", NOT_FOUND)
    verb("ps --owner", OK, "nobody")
    verb("model remove line", OK)
    verb("model remove line", NOT_FOUND)
    verb("gc --dry-run", OK)
    verb("gc", OK)
    verb("dataset remove points", OK)
    verb("dataset remove points", NOT_FOUND)
    verb("rm script", OK)
    verb("rm script", NOT_FOUND)


def main(mesh):
    agent = mesh.add("alpha", extra=["--allow-commands"]).start()
    verb = Verbs(mesh, agent)
    data = mesh.path("points.csv", table())
    without_an_agent(mesh, verb, data)
    with_an_agent(mesh, verb, agent, data)
    verb.none_is_missing()
    require(agent.leave() == 0, f"the agent did not end with 0:\n{agent.journal()[-4000:]}")
    clean("the agent", agent.journal())
    print(f"{len(verb.seen)} verbs and beginnings of verbs")


if __name__ == "__main__":
    run(main)
