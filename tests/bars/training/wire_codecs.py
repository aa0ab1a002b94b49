#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What train.wire saves and what it costs: two agents with a counted link between them train the
same jobs with f32 and with each codec, in every step together and with ranks on their own that
average now and then. After equal samples a linear model, which can reach but one minimum, has the
loss of f32 to within the codec's tolerance, and a network is not above it by more. So many times
fewer bytes cross the link while networks train, everything that the agents say to each other
meanwhile included.

    wire_codecs.py            all jobs, all codecs (two minutes)
    wire_codecs.py --short    the networks together with bf16 and int8 (the test run)

Release build. The ratios of traffic stand last.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, judge, require, until
from slow_link import slow_link
from training import CNN, digits, outcome

BITS_A_SECOND = 1e9
DELAY_S = 0.0005
LIMIT_S = 600
WIRES = {"bf16": "bf16", "int8": "int8", "topk 10 %": {"topk": {"fraction": 0.1}},
         "topk 5 %": {"topk": {"fraction": 0.05}}}
LOSS = {"bf16": 0.01, "int8": 0.02, "topk 10 %": 0.05, "topk 5 %": 0.05}
LESS = {"bf16": 1.9, "int8": 3.7, "topk 10 %": 5, "topk 5 %": 8}
LINEAR = ["flatten", {"dense": 10}]
WIDE = [{"dense": 256} if layer == {"dense": 64} else layer for layer in CNN]
SGD = {"sgd": {"lr": 0.05, "momentum": 0.9}}
SLOW_SGD = {"sgd": {"lr": 0.01, "momentum": 0.9}}
ADAMW = {"adamw": {"lr": 0.001}}


def local(steps):
    return {"steps": steps, "reset": True,
            "outer": {"sgd": {"lr": 0.9, "momentum": 0.5, "nesterov": True}}}


# Layers, optimiser, epochs, what else of train, codecs, how much the loss may be above. The last one
# ends so near 0 that rounding alone moves it by tenths: there only the traffic is judged.
JOBS = {
    "linear": (LINEAR, SLOW_SGD, 8, {}, list(WIRES), LOSS),
    "linear on their own": (LINEAR, SLOW_SGD, 8, {"local": local(8), "ranks": 2}, list(WIRES), LOSS),
    "network": (CNN, ADAMW, 6, {}, ["bf16", "int8"], LOSS),
    "network, sgd": (CNN, SGD, 6, {}, ["topk 10 %", "topk 5 %"], LOSS),
    "network on their own": (WIDE, ADAMW, 8, {"local": local(2), "ranks": 2}, ["bf16", "int8"],
                             dict.fromkeys(WIRES, float("inf"))),
}


def job(layers, optimizer, epochs, more, wire):
    spec = digits(epochs, wire=wire)
    spec["model"]["layers"] = layers
    spec["train"].update(optimizer=optimizer, schedule="cosine", **more)
    spec["resources"] = {"agents": {"min": 2, "max": 2}}
    spec["checkpoint"] = {"every_steps": 100000}
    return spec


class Pair:
    """Two agents with a link between them."""

    def __init__(self, agents, link):
        self.agent = agents[1]
        self.link = link
        until("both agents alive", 60, lambda: all(
            agent.liveness(other.name) == "alive" for agent in agents for other in agents))

    def train(self, name, spec):
        """(Validation loss, bytes that crossed)."""
        before = self.link.bytes()
        start = time.monotonic()
        result = outcome(self.agent, self.agent.submit(spec)["id"], LIMIT_S)
        crossed = self.link.bytes() - before
        loss = result["metrics"]["val_loss"]
        print(f"{name}: {result['steps']} steps, loss {loss:.4f}, "
              f"{crossed / result['steps'] / 1e3:.1f} kB a step, {time.monotonic() - start:.1f} s",
              flush=True)
        return loss, crossed


def compare(pair, name):
    layers, optimizer, epochs, more, wires, above = JOBS[name]
    plain = pair.train(f"{name}, f32", job(layers, optimizer, epochs, more, "f32"))
    ratios = []
    for wire in wires:
        coded = pair.train(f"{name}, {wire}", job(layers, optimizer, epochs, more, WIRES[wire]))
        change = coded[0] / plain[0] - 1
        ratio = plain[1] / coded[1]
        print(f"{name}, {wire}: loss {change:+.1%}, {ratio:.2f} times less traffic", flush=True)
        require(change <= above[wire] and (change >= -above[wire] or layers != LINEAR),
                f"{name}, {wire}: the loss is {change:+.1%}")
        if layers != LINEAR:  # of a small model the rest of what agents say is a good part
            require(ratio >= LESS[wire], f"{name}, {wire}: {ratio:.2f} times, not {LESS[wire]}")
            ratios.append(f"{wire} {ratio:.2f}")
    return ratios


def main(short):
    ratios = []
    with Mesh(release=True) as mesh, slow_link(mesh, ("alpha", "beta"), BITS_A_SECOND,
                                               DELAY_S) as (agents, link):
        pair = Pair(agents, link)
        for name in ["network"] if short else JOBS:
            ratios += compare(pair, name)
    print(f"times less traffic: {', '.join(ratios)}")


if __name__ == "__main__":
    judge(lambda: main("--short" in sys.argv[1:]))
