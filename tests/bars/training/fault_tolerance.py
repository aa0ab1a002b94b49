#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What it costs to survive the loss of a member, of the time of a step: less than 5 %.

Two processes of this machine add up the gradients of two networks, in turns through the exchange of
training, which keeps what a loss would need, and in one memory without anything of that; beside it
stands the time of a step of the same networks on as many threads. Then two agents train the digits
CNN, in turns with a checkpoint every 20 steps and with none before the end. Medians of three turns.

    fault_tolerance.py            both
    fault_tolerance.py --short    only the sums (the test run)

Release build. The costs stand last.
"""
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, agreed_leader, build_dir, judge, require
from training import outcome, submit

TURNS = 3
MOST = 0.05
# Name in train_rate, bytes of its gradient, batch.
NETWORKS = (("digits", 218_000, 128), ("mlp", 2_680_000, 256))
LIMIT_S = 300
EVERY = (50, 100_000)  # the usual, and none before the end


def run(program, *words):
    done = subprocess.run([os.path.join(build_dir(True), "bin", program), *map(str, words)],
                          capture_output=True, text=True, check=False, timeout=120)
    require(done.returncode == 0, f"{program}: {done.stderr[-300:]}")
    return done.stdout


def sum_us(way, size):
    return float(run("all_reduce", way, 2, size, 200).split()[2])


def step_us(network, batch):
    samples = float(run("train_rate", network, batch, 16, 2, 1).split()[-1])
    return batch / samples * 1e6


def cost_of_sums(network, size, batch):
    kept, bare, step = [], [], []
    for _ in range(TURNS):
        kept.append(sum_us("shelf", size))
        bare.append(sum_us("bare", size))
        step.append(step_us(network, batch))
    kept, bare, step = map(statistics.median, (kept, bare, step))
    cost = (step + kept) / (step + bare) - 1
    print(f"{network}: a step {step:.0f} us, the sum of {size} bytes {kept:.1f} us, without "
          f"anything kept {bare:.1f} us: {100 * cost:+.2f} %", flush=True)
    return cost


def job(every):
    layers = [{"conv2d": {"filters": 8, "kernel": 5, "padding": "same"}}, "relu", {"maxpool": 2},
              {"conv2d": {"filters": 16, "kernel": 5, "padding": "same"}}, "relu", {"maxpool": 2},
              "flatten", {"dense": 64}, "relu", {"dense": 10}]
    return {"api": "shoal/v1", "kind": "train", "name": f"every-{every}",
            "data": {"train": "builtin:digits"}, "model": {"input": [1, 28, 28], "layers": layers},
            "train": {"optimizer": {"sgd": {"lr": 0.01, "momentum": 0.9}}, "batch": 128,
                      "ranks": 16, "epochs": 4, "seed": 1},
            "resources": {"agents": {"min": 2, "max": 2}}, "checkpoint": {"every_steps": every}}


def seconds_of_job(mesh, entry, every):
    number = submit(mesh, entry, job(every))
    outcome(entry, number, LIMIT_S)
    series, = entry.read(f"/jobs/{number}/metrics?name=loss&limit=10000")["series"].values()
    return (series[-1][2] - series[0][2]) / 1e6


def cost_of_checkpoints():
    times = {every: [] for every in EVERY}
    with Mesh(release=True) as mesh:
        first = mesh.add("alpha").start()
        mesh.add("beta", join=[first]).start()
        entry = agreed_leader(mesh.agents)
        for _ in range(TURNS):
            for every in EVERY:
                times[every].append(seconds_of_job(mesh, entry, every))
    often, never = (statistics.median(times[every]) for every in EVERY)
    print(f"digits on two agents: {often:.2f} s with a checkpoint every {EVERY[0]} steps, "
          f"{never:.2f} s without: {100 * (often / never - 1):+.2f} %", flush=True)
    return often / never - 1


def main():
    costs = [cost_of_sums(*network) for network in NETWORKS]
    if "--short" not in sys.argv:
        costs.append(cost_of_checkpoints())
    require(max(costs) < MOST, f"{100 * max(costs):.2f} % of a step, {100 * MOST:.0f} at most")
    print("of a step's time: " + ", ".join(f"{100 * cost:+.2f} %" for cost in costs))


judge(main)
