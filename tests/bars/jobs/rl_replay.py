#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The built-in reinforcement learning, each call a process of its own.

    rl_replay.py [SEED]

- Ten seeds: mean reward of the last 50 iterations is at least 0.3 above that of the first 50, and the
  greedy policy finds the right goal in at least 95 of 100 episodes of evaluation, twice alike.
- One seed: every episode, every point of the curve and the final state are the same bits in the other
  build, where there is one, and when training moves twice to another process as bytes. Another seed
  gives others, or the bar would be blind.
- 100 episodes drawn from all of the run are replayed from (seed, policy hash, number), half of them on
  from a checkpoint, and from the actions that were told: return, length and final hash are exact. An
  episode with another policy hash, and a damaged checkpoint, are refused.
"""
import os
import random
import subprocess
import sys
import tempfile

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.environ.get("SHOAL_BUILD", os.path.join(TREE, "build/dev"))
RELEASE = os.environ.get("SHOAL_RELEASE", os.path.join(TREE, "build/release"))
PROGRAM = os.path.join(BUILD, "tests/rl")
OTHER = os.path.join(RELEASE, "tests/rl")
ITERATIONS = 300
LEGS = (110, 40, 150)
REPLAYS = 100
EVALUATED = 100
SEEDS = 10


def called(*arguments, program=PROGRAM):
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)


def asked(*arguments, program=PROGRAM):
    done = called(*arguments, program=program)
    if done.returncode != 0:
        raise SystemExit(f"rl {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout.splitlines()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def require(condition, what):
    if not condition:
        print(what)
        raise SystemExit(1)


def curve(lines):
    return [float.fromhex(line.split()[3]) for line in lines if line.startswith("summary")]


def rising(folder, first):
    gains, worst = [], EVALUATED
    for seed in range(first, first + SEEDS):
        state = os.path.join(folder, f"seed{seed}")
        means = curve(asked("train", seed, "-", ITERATIONS, state))
        gains.append(means[-1] - means[0])
        require(gains[-1] >= 0.3, f"seed {seed}: mean reward went from {means[0]} to {means[-1]}")
        evaluated = asked("evaluate", 77, state, EVALUATED)
        require(evaluated == asked("evaluate", 77, state, EVALUATED), "evaluation differs")
        worst = min(worst, int(evaluated[0].split()[1]))
    require(worst >= 95, f"{worst} of {EVALUATED} episodes of evaluation found the right goal")
    return min(gains), worst


def same_bits(folder, seed):
    """The lines of the whole run, and how many other ways gave the same."""
    whole = os.path.join(folder, "whole")
    lines = asked("train", seed, "-", ITERATIONS, whole)
    parts, at = [], "-"
    for leg, iterations in enumerate(LEGS):
        to = os.path.join(folder, f"leg{leg}")
        parts += asked("train", seed, at, iterations, to)
        at = to
    require(parts == lines, "in parts: other episodes or another curve")
    require(read(at) == read(whole), "in parts: another final state")
    ways = 1
    if os.path.exists(OTHER) and os.path.realpath(OTHER) != os.path.realpath(PROGRAM):
        to = os.path.join(folder, "release")
        require(asked("train", seed, "-", ITERATIONS, to, program=OTHER) == lines,
                "the other build: other episodes or another curve")
        require(read(to) == read(whole), "the other build: another final state")
        ways += 1
    other = asked("train", seed + 1, "-", ITERATIONS, os.path.join(folder, "other"))
    require(curve(other) != curve(lines), "the bar is blind: another seed gave the same curve")
    return lines, ways


def replays(folder, seed, lines):
    rng = random.Random(seed)
    episodes = [line.split() for line in lines if line.startswith("episode")]
    checkpoint = os.path.join(folder, "leg0")
    covered = LEGS[0] * (len(episodes) // ITERATIONS)
    chosen = (rng.sample(episodes[:covered], REPLAYS // 2)
              + rng.sample(episodes[covered:], REPLAYS // 2))
    for _, number, total, length, digest, policy, actions in chosen:
        want = [f"episode {number} {total} {length} {digest}"]
        start = checkpoint if int(number) >= covered else "-"
        require(asked("replay", seed, start, number, policy) == want, f"replay of {number} differs")
        require(asked("actions", seed, number, actions) == want, f"actions of {number} differ")
    _, number, _, _, _, policy, _ = chosen[0]
    forged = f"{int(policy, 16) ^ 1:016x}"
    require(called("replay", seed, "-", number, forged).returncode == 1,
            "an episode of another policy was replayed")
    require(called("replay", seed + 1, "-", number, policy).returncode == 1,
            "an episode of another seed was replayed")
    damaged = bytearray(read(checkpoint))
    damaged[len(damaged) // 2] ^= 1
    with open(os.path.join(folder, "damaged"), "wb") as file:
        file.write(damaged)
    require(called("train", seed, os.path.join(folder, "damaged"), 1, "-").returncode == 1,
            "a damaged checkpoint was taken")


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with tempfile.TemporaryDirectory() as folder:
        gain, worst = rising(folder, seed)
        lines, ways = same_bits(folder, seed)
        replays(folder, seed, lines)
    print(f"mean reward rises by at least {gain:.2f} in {SEEDS} seeds, {worst} of {EVALUATED} goals "
          f"found at worst; {ways} other ways to the same bits; {REPLAYS} of {REPLAYS} episodes "
          "replayed exactly")
    return 0


if __name__ == "__main__":
    sys.exit(main())
