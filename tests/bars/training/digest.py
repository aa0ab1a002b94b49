#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same bytes, whatever happens: a job trains on three agents while the coordinator and two others are
killed with SIGKILL (each starts again on its directory), two new agents join, and then every agent in
turn is stopped and started (a rolling restart); and once more undisturbed on one agent. At a step after
the last event both keep the same bytes: model file, optimiser, losses. Each event shows in the generations
of the training. The job has no end that a fast machine could reach before all has happened.

    digest.py            a CNN on MNIST (batch normalisation, dropout), and a transformer on tiny
                         Shakespeare (attention, dropout, its residual blocks)
    digest.py --short    a smaller transformer alone, on made-up words: one kill, of the coordinator, one
                         join, and the rolling restart (the test run)

Release build. About 2 minutes; 30 s with --short.
"""
import hashlib
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, agreed_leader, judge, require, shared, until
from training import Work, generations, mnist_part, step_of, submit, text_job

LONG_S = 900
WAIT_S = 120
EPOCHS = 50000  # no machine gets there
EVERY, KEEP = 25, 8  # steps between checkpoints, and how many are kept
NAMES = ("alpha", "beta", "gamma")
JOINERS = ("delta", "epsilon")


class Trial:
    """A job on a mesh of its own."""

    def __init__(self, spec):
        self.spec = spec
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
            require(row["state"] in ("waiting", "running"), f"{what}: the job is {row['state']}")
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

    def checkpoints(self, asked):
        """Steps of those that are kept now."""
        return [c["step"] for c in asked.read(f"/jobs/{self.job}/checkpoints")["checkpoints"]]

    def wait_checkpoint(self, asked, step):
        """The first that is kept at that step or after it."""
        def probe():
            return min((s for s in self.checkpoints(asked) if s >= step), default=None)
        return until(f"a checkpoint of step {step}", LONG_S, probe)

    def kept(self, asked, step):
        """Digests of what is kept of a step: the model's file, and all of the state."""
        answer = asked.get(f"/jobs/{self.job}/checkpoints/{step}")
        require(answer.status == 200, f"checkpoint of step {step}: {answer.status}")
        path = self.mesh.path("model.safetensors")
        self.mesh.must(["checkpoints", self.job, "--get", step, "-o", path, "--peer", asked.api])
        with open(path, "rb") as file:
            return tuple(hashlib.blake2b(b, digest_size=32).hexdigest()
                         for b in (file.read(), answer.body))

    def end(self, step):
        asked = self.others()[0]
        return self.kept(asked, step), Work(asked, self.job, step)


def undisturbed(spec, step):
    trial = Trial(spec)
    with trial.mesh:
        trial.begin(1)
        reached = trial.wait_checkpoint(trial.agents[0], step)
        require(reached == step, f"the checkpoint of step {step} is gone: {reached} is the oldest")
        return trial.end(step)


def disturbed(spec, short):
    trial = Trial(spec)
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
        asked = trial.agents[0]
        step = trial.wait_checkpoint(asked, step_of(asked, trial.job) + 1)
        return step, *trial.end(step)


def what(short):
    return (f"{'1 kill + 1 join' if short else '3 kills + 2 joins'} + 1 leader change + rolling restart "
            "of all agents")


def compare(name, spec, short):
    """Both runs; the digest of the model that they share."""
    began = time.monotonic()
    step, found, work = disturbed(spec, short)
    kills, joins = (1, 1) if short else (3, 2)
    names = NAMES + JOINERS[:joins]
    print(f"{name}, {what(short)}: {found[0][:16]} after {step} steps, {len(work.begins)} generations, "
          f"rank-steps {work.done}, {time.monotonic() - began:.0f} s", flush=True)
    # Whoever was killed or stopped is missing from one generation and back in another.
    require(len(work.begins) >= 1 + 2 * kills + joins + 2 * len(names),
            f"generations at {work.begins}")
    require(set(work.done) == set(names), f"rank-steps {work.done}")
    began = time.monotonic()
    alone, work = undisturbed(spec, step)
    print(f"{name}, undisturbed: {alone[0][:16]} after {step} steps, {len(work.begins)} generation, "
          f"{time.monotonic() - began:.0f} s", flush=True)
    require(len(work.begins) == 1, f"undisturbed, but generations at {work.begins}")
    require(alone == found, f"{name}, step {step}: {alone} is not {found}")
    return alone[0]


def small_text(path, size):
    """Words of a made-up language: enough to learn from, the same on every machine."""
    rng = random.Random(5)
    words = ["".join(rng.choice("aeioubdgklmnrst") for _ in range(rng.randrange(2, 7)))
             for _ in range(90)]
    with open(path, "w", encoding="ascii") as out:
        while out.tell() < size:
            out.write(rng.choice(words) + rng.choice([" ", " ", " ", ".\n"]))
    return path


def main():
    short = "--short" in sys.argv
    with Mesh(release=True) as scratch:
        if short:
            text = small_text(scratch.path("words.txt"), 60000)
            jobs = {"transformer": text_job(text, blocks=1, width=32, context=32)[0]}
        else:
            text = shared("data", "tinyshakespeare", "input.txt")
            jobs = {"cnn": mnist_part(12000, scratch.path("mnist"), batch=32),
                    "transformer": text_job(text)[0]}
        for spec in jobs.values():
            spec["train"].update(epochs=EPOCHS, schedule="constant")
            spec["checkpoint"] = {"every_steps": EVERY, "keep": KEEP}
        found = [compare(name, spec, short) for name, spec in jobs.items()]
    print(f"digest equality: undisturbed = {what(short)}: equal, {' and '.join(jobs)} "
          f"({' '.join(d[:16] for d in found)})")


if __name__ == "__main__":
    judge(main)
