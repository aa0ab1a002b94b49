#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training over a slow link: two agents, 10 Mb/s and 50 ms there and back between them, train the
same job together in every step and with ranks on their own that average now and then (train.local).
After equal samples the losses differ by at most 2 % where both can reach the same minimum (a linear
model), a network's is at most 2 % above, and at least 20 times fewer bytes crossed the link. What
the link adds while nothing is trained is in the figures of both.

    diloco.py            a linear model and a convolutional network on the digits
    diloco.py --short    the linear model, fewer epochs (the test run)

Release build. The ratio of traffic stands last.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, judge, require, until
from slow_link import slow_link
from training import outcome

BITS_A_SECOND = 10e6
DELAY_S = 0.025
LOSS = 0.02
LESS = 20
LIMIT_S = 900
DIGITS = {"train": "builtin:digits", "validation": 0.1}


def job(name, layers, optimizer, epochs, local):
    train = {"optimizer": optimizer, "schedule": "cosine", "batch": 128, "ranks": 2, "seed": 1,
             "epochs": epochs}
    if local:
        train["local"] = local
    return {"api": "shoal/v1", "kind": "train", "name": name, "data": DIGITS,
            "model": {"input": [1, 28, 28], "layers": layers}, "train": train,
            "resources": {"agents": {"min": 2, "max": 2}}, "checkpoint": {"every_steps": 100000}}


LINEAR = (["flatten", {"dense": 10}], {"sgd": {"lr": 0.01, "momentum": 0.9}},
          {"steps": 86, "outer": {"sgd": {"lr": 1}}})
NETWORK = ([{"conv2d": {"filters": 8, "kernel": 5, "padding": "same"}}, "relu", {"maxpool": 2},
            {"conv2d": {"filters": 8, "kernel": 5, "padding": "same"}}, "relu", {"maxpool": 4},
            "flatten", {"dense": 10}], {"adamw": {"lr": 0.002}},
           {"steps": 86, "outer": {"sgd": {"lr": 0.9, "momentum": 0.5, "nesterov": True}}})


def one(mesh, name, layers, optimizer, epochs, local):
    """(Validation loss, bytes that crossed, seconds)."""
    with slow_link(mesh, ("alpha", "beta"), BITS_A_SECOND, DELAY_S) as (agents, link):
        until("both agents alive", 60, lambda: all(
            agent.liveness(other.name) == "alive" for agent in agents for other in agents))
        before = link.bytes()
        start = time.monotonic()
        number = agents[1].submit(job(name, layers, optimizer, epochs, local))["id"]
        result = outcome(agents[1], number, LIMIT_S)
        seconds = time.monotonic() - start
        crossed = link.bytes() - before
        loss = result["metrics"]["val_loss"]
        print(f"{name} {'on their own' if local else 'together':12} {result['steps']} steps, "
              f"loss {loss:.4f}, {crossed / 1e6:.2f} MB, {seconds:.1f} s", flush=True)
        return loss, crossed, seconds


def compare(name, layers, optimizer, local, epochs, convex):
    with Mesh(release=True) as mesh:
        together = one(mesh, name, layers, optimizer, epochs, None)
    with Mesh(release=True) as mesh:
        alone = one(mesh, name, layers, optimizer, epochs, local)
    change = alone[0] / together[0] - 1
    ratio = together[1] / alone[1]
    print(f"{name}: loss {change:+.1%}, {ratio:.1f} times less traffic, "
          f"{together[2] / alone[2]:.1f} times as fast", flush=True)
    require(change <= LOSS and (change >= -LOSS or not convex), f"{name}: the loss is {change:+.1%}")
    require(ratio >= LESS, f"{name}: {ratio:.1f} times less traffic, not {LESS}")
    return ratio


def main(short):
    ratios = [compare("linear", *LINEAR, 3 if short else 20, True)]
    if not short:
        ratios.append(compare("network", *NETWORK, 12, False))
    print(f"{min(ratios):.1f} times less traffic (bar: {LESS})")


if __name__ == "__main__":
    judge(lambda: main("--short" in sys.argv[1:]))
