#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same bytes: a job gives one model digest, one file and one optimiser state on one agent, on
three, on three whose coordinator is killed, and on three of which a worker is killed and another
joins, each in fresh directories. Kills fall between 25 and 75 % of the steps; every agent, the
joiner too, does at least 10 % of an equal part of the rank-steps. Three agents read each other's
shelves (agent/train/shelf.h) when one is killed. Another seed gives another digest, and so does a
test build that adds sums one after the other instead of in the tree: or the bar would be blind.

    digest.py            the digits CNN, and 12,000 images of MNIST with batchnorm and dropout
    digest.py --short    the digits CNN alone (the test run)

Release build. About 3 minutes, a third of that with --short.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, Skip, agreed_leader, build_dir, judge, require
from training import Work, digits, mnist_part, outcome, submit, wait_step

LONG_S = 300
SHARE = 0.10
NAMES = ("alpha", "beta", "gamma")


class Trial:
    """One run of a job on a fresh mesh."""

    def __init__(self, spec, steps, program=None):
        self.spec = spec
        self.steps = steps
        self.mesh = Mesh(release=True)
        if program:
            self.mesh.shoal = program
        self.agents = []
        self.job = None

    def begin(self, count):
        self.agents = (self.mesh.three(NAMES) if count == 3 else
                       [self.mesh.add(name).start() for name in NAMES[:count]])
        leader = agreed_leader(self.agents)
        entry = next((a for a in self.agents if a is not leader), leader)
        self.job = submit(self.mesh, entry, self.spec)

    def leader(self):
        return agreed_leader([a for a in self.agents if a.running()])

    def until_step(self, part):
        wait_step(self.survivor(), self.job, int(part * self.steps), LONG_S)

    def require_shelves(self):
        """On one machine every member maps, for reading, what each of the others sends from; but not
        where the system commits strictly."""
        with open("/proc/sys/vm/overcommit_memory", encoding="utf-8") as mode:
            if mode.read().strip() == "2":
                return
        for agent in self.agents:
            with open(f"/proc/{agent.process.pid}/maps", encoding="utf-8") as maps:
                mapped = {line.split()[4] for line in maps
                          if "memfd:shoal-shelf" in line and " r--s " in line}
            require(len(mapped) == len(self.agents) - 1,
                    f"{agent.name} reads {len(mapped)} shelves of {len(self.agents)} members")

    def survivor(self):
        return next(a for a in self.agents if a.running())

    def end(self):
        return outcome(self.survivor(), self.job, LONG_S)

    def work(self):
        return Work(self.survivor(), self.job, self.steps)


def digests(result):
    return result["model_digest"], result["file_digest"], result["state_digest"]


def run_plain(trial, count):
    trial.begin(count)
    result = trial.end()
    return result, trial.work()


def run_leader_killed(trial, _):
    trial.begin(3)
    trial.until_step(0.35)
    trial.require_shelves()
    trial.leader().kill()
    result = trial.end()
    return result, trial.work()


def run_worker_replaced(trial, _):
    trial.begin(3)
    trial.until_step(0.3)
    leader = trial.leader()
    killed = next(a for a in trial.agents if a is not leader)
    killed.kill()
    trial.agents.append(trial.mesh.add("delta", join=[leader]).start())
    result = trial.end()
    return result, trial.work()


def show(label, result, work):
    metrics = result["metrics"]
    print(f"{label}: {result['model_digest'][:16]}, {result['steps']} steps, generations at "
          f"{work.begins}, rank-steps {work.done}, validation {metrics['val_correct']} of "
          f"{metrics['val_total']}", flush=True)


def one_digest(name, spec, steps):
    """Runs all four; the digests that they share."""
    found = {}
    scenarios = ((f"{name}, one agent", run_plain, 1, NAMES[:1]),
                 (f"{name}, three", run_plain, 3, NAMES),
                 (f"{name}, coordinator killed", run_leader_killed, 3, NAMES),
                 (f"{name}, worker killed, another joined", run_worker_replaced, 3,
                  NAMES + ("delta",)))
    for label, scenario, count, names in scenarios:
        trial = Trial(spec, steps)
        with trial.mesh:
            result, work = scenario(trial, count)
            show(label, result, work)
            require(result["steps"] == steps, f"{label}: {result['steps']} steps, not {steps}")
            share = work.least_share(names)
            require(share >= SHARE, f"{label}: one agent did only {share:.2f} of its share")
            killed = scenario is not run_plain
            require(killed == (len(work.begins) > 1), f"{label}: generations at {work.begins}")
            require(all(0.25 * steps <= at <= 0.75 * steps for at in work.begins[1:]),
                    f"{label}: generations at {work.begins} of {steps} steps")
            found.setdefault(digests(result), []).append(label)
            require(len(found) == 1, f"different digests: {found}")
    return next(iter(found))


def differs(label, known, trial, count):
    with trial.mesh:
        result, work = run_plain(trial, count)
        show(label, result, work)
        require(result["model_digest"] != known[0], f"{label}: the same digest")


def arrival_program():
    path = os.path.join(build_dir(release=True), "tests", "shoal_arrival")
    if not os.access(path, os.X_OK):
        raise Skip(f"{path} is not built")
    return path


def main():
    epochs, steps = 30, 30 * 43
    program = arrival_program()
    known = one_digest("digits", digits(epochs), steps)
    differs("digits, another seed", known, Trial(digits(epochs, seed=2), steps), 1)
    differs("digits, sums in order of arrival", known, Trial(digits(epochs), steps, program), 3)
    count = 1
    if "--short" not in sys.argv:
        with Mesh(release=True) as scratch:
            spec = mnist_part(12000, scratch.path("mnist"), batch=32)
            one_digest("mnist", spec, 10800 // 32)
            count = 2
    print(f"model {known[0]}")
    print(f"{count} digest{'s' if count > 1 else ''} for {count} job{'s' if count > 1 else ''} on "
          "4 meshes each")


if __name__ == "__main__":
    judge(main)
