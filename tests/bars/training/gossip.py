#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training by gossip (train.local.average: gossip): agents that mix their models two at a time.

The linear model on the digits, three agents. After equal samples its loss differs by at most 2 % from
that of ranks that average all together. With the coordinator and a second agent killed, the third
goes on making steps without a quorum, and the job completes once they are back. With an agent cut off,
it and the others go on; mended, their models come together: the last ones to be put together differ
by little, and the loss is within 2 % of the undisturbed one.

    gossip.py            as above
    gossip.py --short    shorter, and without the cut, which needs the right to make namespaces

Release build. About three minutes. The figures stand last.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from islands import islands
from mesh import Mesh, Skip, agreed_leader, judge, require, until
from training import members, outcome

LOSS = 0.02
SPREAD = 0.01
ALONE_STEPS = 20000
LIMIT_S = 300
STEPS_AN_EPOCH = 86
SHORT = 60  # epochs
LONG = 3000  # and of what is disturbed
SHORTENED = 750, 5000  # what is disturbed, and the steps that one makes alone then
DIGITS = {"train": "builtin:digits", "validation": 0.1, "test": "builtin:digits-test"}


def job(average, epochs, steps):
    return {"api": "shoal/v1", "kind": "train", "name": f"linear-{average}", "data": DIGITS,
            "model": {"input": [1, 28, 28], "layers": ["flatten", {"dense": 10}]},
            "train": {"optimizer": {"sgd": {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.01}},
                      "schedule": "cosine",
                      "batch": 128, "ranks": 4, "seed": 1, "epochs": epochs,
                      "local": {"steps": steps, "average": average, "outer": {"sgd": {"lr": 1}}}},
            "resources": {"agents": {"min": 1, "max": 3}}, "checkpoint": {"every_steps": 20000}}


def points(agent, number, name):
    """Of a series, as far as this agent has them, whether or not there is a quorum."""
    seen = agent.read(f"/jobs/{number}/metrics?limit=10000&stale=1")
    return seen["series"].get(name, [])


def steps_of(agent, number):
    seen = points(agent, number, "loss")
    return seen[-1][0] if seen else 0


def await_steps(agent, number, steps, what):
    until(f"{what}: step {steps}", LIMIT_S, lambda: steps_of(agent, number) >= steps)


def log(agent, number):
    return agent.get(f"/jobs/{number}/logs?limit=1000&format=text&stale=1").body.decode()


def train(agents, average, epochs, steps):
    result = outcome(agents[0], agents[0].submit(job(average, epochs, steps))["id"], LIMIT_S)
    print(f"{average}: {result['steps']} steps, loss {result['metrics']['val_loss']:.4f}", flush=True)
    return result["metrics"]["val_loss"]


def without_quorum(agents, loss, epochs, least):
    """Steps that the only one left made alone, and in how many seconds."""
    leader = agreed_leader(agents)
    alone = next(agent for agent in agents if agent is not leader)
    others = [agent for agent in agents if agent is not alone]
    number = alone.submit(job("gossip", epochs, 64))["id"]
    await_steps(alone, number, 1000, "three agents")
    for agent in others:
        agent.kill()
    begun = steps_of(alone, number)
    start = time.monotonic()
    until("nobody is known to lead", 30, lambda: alone.leader() is None)
    before = steps_of(alone, number)
    await_steps(alone, number, before + least, "alone, without a quorum")
    made, seconds = steps_of(alone, number) - begun, time.monotonic() - start
    for agent in others:
        agent.launch()
    for agent in others:
        agent.wait_up()
    result = outcome(alone, number, LIMIT_S)
    change = result["metrics"]["val_loss"] / loss - 1
    print(f"killed: {made} steps alone in {seconds:.1f} s, loss {change:+.1%}", flush=True)
    require(change <= LOSS, f"with the quorum lost the loss is {change:+.1%}")
    return made


def parted(mesh, loss):
    """Spread of the models that were put together last; the steps that the one cut off made alone."""
    with islands(mesh, ("alpha", "beta", "gamma")) as agents:
        leader = agreed_leader(agents)
        alone = next(agent for agent in agents if agent is not leader)
        rest = next(agent for agent in agents if agent not in (alone, leader))
        number = alone.submit(job("gossip", LONG, 64))["id"]
        await_steps(alone, number, 1000, "three agents")
        alone.cut()
        until("the cut is noticed", 30, lambda: alone.leader() is None)
        begun = steps_of(alone, number)
        others = steps_of(rest, number)
        await_steps(alone, number, begun + ALONE_STEPS, "the one cut off")
        until("the others go on without it", 60, lambda: alone.name not in members(rest, number))
        await_steps(rest, number, others + 1000, "the two others")
        made = steps_of(alone, number) - begun
        require(begun + made < LONG * STEPS_AN_EPOCH, "the one cut off had nothing left to do")
        alone.mend()
        until(f"{alone.name} is back", 60, lambda: alone.name in members(rest, number))
        result = outcome(rest, number, LIMIT_S)
        until("its series is whole", 30, lambda: points(rest, number, "spread"))
        seen = points(rest, number, "spread")
        spread = seen[-1][1]
        met = max(value for step, value, *_ in seen if step > begun)
        change = result["metrics"]["val_loss"] / loss - 1
        print(f"cut off: {made} steps alone, models up to {met:.3f} apart, "
              f"{spread:.6f} in the end, loss {change:+.1%}",
              flush=True)
        require(change <= LOSS, f"after a cut the loss is {change:+.1%}")
        require(spread <= SPREAD, f"the last models are {spread:.4f} apart")
        require(f"{alone.name} begins with the model" not in log(rest, number),
                f"{alone.name} lost what it had learnt")
        return spread, made


def main(short):
    with Mesh(release=True) as mesh:
        agents = mesh.three()
        together = train(agents, "all", SHORT, 8)
        mixed = train(agents, "gossip", SHORT, 8)
        change = mixed / together - 1
        require(abs(change) <= LOSS, f"the loss by gossip is {change:+.1%}")
        epochs, least = SHORTENED if short else (LONG, ALONE_STEPS)
        undisturbed = train(agents, "gossip", epochs, 64)
        made = without_quorum(agents, undisturbed, epochs, least)
    text = f"loss {change:+.2%} (bar: {LOSS:.0%}); {made} steps without a quorum (bar: {least})"
    if not short:
        try:
            with Mesh(release=True) as mesh:
                spread, alone = parted(mesh, undisturbed)
            text += f"; {alone} steps cut off; spread {spread:.5f} (bar: {SPREAD})"
        except Skip as why:
            text += f"; the cut is left out: {why}"
    print(text)


if __name__ == "__main__":
    judge(lambda: main("--short" in sys.argv[1:]))
