#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same bytes, whatever happens: a job trains undisturbed on one agent, and again on three while the
coordinator and two others are killed with SIGKILL (each starts again on its directory), two new agents
join, and then every agent in turn is stopped and started (a rolling restart). Model, file and optimiser
state are equal bytes; each event falls into the training and shows in its generations.

    digest.py            a CNN on MNIST (batch normalisation, dropout), and a transformer on tiny
                         Shakespeare (attention, dropout, its residual blocks)
    digest.py --short    a smaller transformer alone, on made-up words: one kill, of the coordinator, one
                         join, and the rolling restart (the test run)

Release build. About 6 minutes; 40 s with --short.
"""
import math
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, agreed_leader, judge, require, shared, until
from training import Work, generations, mnist_part, outcome, step_of, submit, text_job

LONG_S = 600
WAIT_S = 120
SHORT_S, FULL_S = 16, 40  # of training, so that it outlasts what happens to it
NAMES = ("alpha", "beta", "gamma")
JOINERS = ("delta", "epsilon")


class Trial:
    """A job on a mesh of its own."""

    def __init__(self, spec, steps):
        self.spec = spec
        self.steps = steps
        self.mesh = Mesh(release=True)
        self.agents = []
        self.job = None

    def begin(self, count):
        self.agents = (self.mesh.three(NAMES) if count == 3 else
                       [self.mesh.add(NAMES[0]).start()])
        self.job = submit(self.mesh, self.agents[-1], self.spec)
        until("the job begins", WAIT_S, lambda: step_of(self.agents[0], self.job) > 0)

    def others(self, than=None):
        return [a for a in self.agents if a.running() and a is not than]

    def members(self, asked):
        """Of the newest generation that this agent has heard of."""
        known = generations(asked, self.job)
        return {name for name, _, _ in known[-1][1]} if known else set()

    def wait_members(self, what, asked, wanted, unwanted=()):
        def probe():
            row = asked.job(self.job)
            require(row["state"] in ("waiting", "running"),
                    f"{what}: the job is {row['state']} already: it is too short for this machine")
            members = self.members(asked)
            return members and set(wanted) <= members and not members & set(unwanted)
        until(what, WAIT_S, probe)

    def kill(self, victim):
        victim.kill()
        asked = self.others()[0]
        self.wait_members(f"a generation without {victim.name}", asked, (), (victim.name,))
        victim.start()
        self.wait_members(f"{victim.name} takes part again", asked, (victim.name,))

    def join(self, name):
        asked = self.others()[0]
        self.agents.append(self.mesh.add(name, join=[asked]).start())
        self.wait_members(f"{name} takes part", asked, (name,))

    def restart(self, agent):
        agent.leave()
        asked = self.others()[0]
        self.wait_members(f"a generation without {agent.name}", asked, (), (agent.name,))
        agent.start()
        self.wait_members(f"{agent.name} takes part again", asked, (agent.name,))

    def end(self):
        asked = self.others()[0]
        result = outcome(asked, self.job, LONG_S)
        return result, Work(asked, self.job, self.steps)


def digests(result):
    return result["model_digest"], result["file_digest"], result["state_digest"]


def undisturbed(spec, steps, short):
    del short
    trial = Trial(spec, steps)
    with trial.mesh:
        trial.begin(1)
        return trial.end()


def disturbed(spec, steps, short):
    trial = Trial(spec, steps)
    with trial.mesh:
        trial.begin(3)
        first = agreed_leader(trial.agents)
        trial.kill(first)
        then = agreed_leader(trial.others(first))
        require(then is not first, f"{first.name} was killed and coordinates still")
        trial.join(JOINERS[0])
        for name in NAMES if not short else ():
            victim = next(a for a in trial.agents if a.name == name)
            if victim is not first:
                trial.kill(victim)
                if JOINERS[1] not in [a.name for a in trial.agents]:
                    trial.join(JOINERS[1])
        for agent in list(trial.agents):
            trial.restart(agent)
        print(f"  all done at step {step_of(trial.agents[0], trial.job)} of {steps}", flush=True)
        return trial.end()


def what(short):
    return (f"{'1 kill + 1 join' if short else '3 kills + 2 joins'} + 1 leader change + rolling restart "
            "of all agents")


def compare(name, spec, steps, short):
    """Both runs; the digests that they share."""
    found = {}
    for label, run in (("undisturbed", undisturbed), (what(short), disturbed)):
        began = time.monotonic()
        result, work = run(spec, steps, short)
        print(f"{name}, {label}: {result['model_digest'][:16]}, {result['steps']} steps, "
              f"{len(work.begins)} generations, rank-steps {work.done}, "
              f"{time.monotonic() - began:.0f} s", flush=True)
        require(result["steps"] == steps, f"{name}: {result['steps']} steps, not {steps}")
        if run is disturbed:
            kills, joins = (1, 1) if short else (3, 2)
            names = NAMES + JOINERS[:joins]
            # Whoever was killed or stopped is missing from one generation and back in another.
            require(len(work.begins) >= 1 + 2 * kills + joins + 2 * len(names),
                    f"generations at {work.begins}")
            require(set(work.done) == set(names), f"rank-steps {work.done}")
        found.setdefault(digests(result), []).append(label)
    require(len(found) == 1, f"{name}: different digests: {found}")
    return next(iter(found))[0]


def small_text(path, size):
    """Words of a made-up language: enough to learn from, the same on every machine."""
    rng = random.Random(5)
    words = ["".join(rng.choice("aeioubdgklmnrst") for _ in range(rng.randrange(2, 7)))
             for _ in range(90)]
    with open(path, "w", encoding="ascii") as out:
        while out.tell() < size:
            out.write(rng.choice(words) + rng.choice([" ", " ", " ", ".\n"]))
    return path


def long_enough(spec, epoch_steps, seconds):
    """The job with as many epochs as keep this machine busy for so long, and its steps."""
    spec["train"]["epochs"] = 2
    trial = Trial(spec, 2 * epoch_steps)
    with trial.mesh:
        trial.begin(1)
        outcome(trial.agents[0], trial.job, LONG_S)
        row = trial.agents[0].job(trial.job)
    pace = 2 * epoch_steps / ((row["ended_us"] - row["started_us"]) / 1e6)
    epochs = max(2, math.ceil(seconds * pace / epoch_steps))
    spec["train"]["epochs"] = epochs
    return spec, epochs * epoch_steps


def main():
    short = "--short" in sys.argv
    with Mesh(release=True) as scratch:
        if short:
            text = small_text(scratch.path("words.txt"), 60000)
            jobs = {"transformer": text_job(text, blocks=1, width=32, context=32)}
        else:
            cnn = mnist_part(12000, scratch.path("mnist"), batch=32)
            text = shared("data", "tinyshakespeare", "input.txt")
            jobs = {"cnn": (cnn, 10800 // 32), "transformer": text_job(text)}
        found = [compare(name, *long_enough(*job, SHORT_S if short else FULL_S), short)
                 for name, job in jobs.items()]
    print(f"digest equality: undisturbed = {what(short)}: equal, {' and '.join(jobs)} "
          f"({' '.join(d[:16] for d in found)})")


if __name__ == "__main__":
    judge(main)
