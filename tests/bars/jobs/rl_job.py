#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kind rl on three agents, submitted to and read from a follower.

- One job undisturbed, and the same with kill -9 of the agent that trains it, twice in the middle: the
  same curve, the same model digest and the same final state; a pause in the middle changes nothing
  either; another seed gives others.
- The mean reward rises, and 100 episodes of evaluation with the model find the right goal in at least
  95, twice alike.
- Episodes that agents told, from all of the run: `shoal replay` gives return, length, end, hash and
  policy of each, and the states that were told.
- An ML-Agents behaviour file with line ends, blanks and bytes of its own reaches a script unchanged, and
  what its trainer prints becomes a curve.
"""
import hashlib
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, agreed_leader, finished, judge, require, until

END_S = 150
ITERATIONS = 60000
TOLD = 100  # episodes
REPLAYS = 12
BEHAVIOUR = (b"\xef\xbb\xbfbehaviors:\r\n  Walker:\r\n    trainer_type: ppo \t\r\n"
             b"    # na\xc3\xafve, \xff and no last line end\r\n\r\n    max_steps: 5.0e5")
TRAINER = ("sha256sum config/walker.yaml > digest; "
           "echo '[INFO] Walker. Step: 1000. Time Elapsed: 1.5 s. Mean Reward: 0.250. Std of Reward: 0.5."
           " Training.'")


def job(name, seed=1):
    return {"api": "shoal/v1", "kind": "rl", "name": name,
            "env": {"name": "hallway", "areas": 16},
            "train": {"iterations": ITERATIONS, "seed": seed, "summary": 100},
            "events": {"episodes": ITERATIONS * 16 // TOLD, "states": ITERATIONS * 4}, "checkpoint": {"every": 500},
            "resources": {"cpus": 0}}


def curve(agent, number):
    return agent.read(f"/jobs/{number}/metrics?limit=10000")["series"]["mean_reward"]


def model_of(agent, number):
    model, = [m for m in agent.read("/models")["models"] if m["job"] == number]
    return model


def trained(agent, spec):
    number = agent.submit(spec)["id"]
    finished(agent, number, END_S)
    return number


def where(agent, number):
    unit, = agent.job(number)["unit_list"]
    return [m["name"] for m in unit.get("members", [])], unit["checkpoint_step"]


def trains_beyond(agent, number, least):
    """Who trains, once there is a checkpoint after so many iterations; or nobody, after the end."""
    at = where(agent, number)
    ended = agent.job(number)["state"] not in ("waiting", "running")
    return at if ended or (at[0] and at[1] >= least) else None


def disturbed(agents, follower):
    """Trains while whoever trains is killed, twice; the job, how often, and a follower that lives."""
    number = follower.submit(job("killed"))["id"]
    kills = 0
    for least in (500, 15000):
        at = until(f"checkpoint {least}", 60, lambda: trains_beyond(follower, number, least))
        if not at[0]:
            break
        victim = next(a for a in agents if a.name == at[0][0])
        if victim is follower:
            follower = next(a for a in agents if a is not victim and a.running())
        victim.kill()
        kills += 1
        until("another agent goes on", 60, lambda: victim.name not in where(follower, number)[0])
        victim.start()
    finished(follower, number, END_S)
    return number, kills, follower


def paused(follower):
    """Trains with a pause in the middle."""
    number = follower.submit(job("paused"))["id"]
    until("a checkpoint", 60, lambda: trains_beyond(follower, number, 500))
    answer = follower.call("POST", f"/jobs/{number}/pause", {})
    require(answer.status in (200, 202), f"pause: {answer}")
    until("nobody trains", 60, lambda: not where(follower, number)[0])
    require(follower.job(number)["state"] == "paused", f"the job is {follower.job(number)['state']}")
    answer = follower.call("POST", f"/jobs/{number}/resume", {})
    require(answer.status in (200, 202), f"resume: {answer}")
    finished(follower, number, END_S)
    return number


def evaluated(mesh, follower, name):
    line = ["evaluate", name, "--episodes", 100, "--json", "--peer", f"127.0.0.1:{follower.api_port}"]
    return json.loads(mesh.must(line))


def told(agent, number):
    """Episodes by number and the states of those with states, as the log has them."""
    episodes, states, at = {}, {}, 0
    while True:
        page = agent.read(f"/jobs/{number}/logs?from={at}&limit=1000")
        for line in page["lines"]:
            value = json.loads(line["text"]) if line["text"].startswith("{") else {}
            if "episode" in value:
                episodes[value["episode"]["number"]] = value["episode"]
            elif "state" in value:
                states.setdefault(value["state"]["episode"], {})[value["state"]["step"]] = value["state"]
        if not page["lines"]:
            return episodes, states
        at = page["next"]


def replays(mesh, follower, number):
    episodes, states = told(follower, number)
    # What an agent told in its last half second may be lost with it.
    require(len(episodes) >= TOLD * 0.9, f"{len(episodes)} of {TOLD} episodes were told")
    chosen = random.Random(1).sample(sorted(episodes), REPLAYS - 1) + [max(states)]
    for episode in chosen:
        again = json.loads(mesh.must(["replay", number, episode, "--json", "--peer",
                                      f"127.0.0.1:{follower.api_port}"], seconds=120))
        for key in ("return_micro", "length", "end", "hash", "policy"):
            require(again[key] == episodes[episode][key],
                    f"episode {episode}: {key} {again[key]}, not {episodes[episode][key]}")
        for step, state in states.get(episode, {}).items():
            want = {key: state[key] for key in ("step", "x", "y", "action", "reward_micro")}
            got = {key: again["states"][step][key] for key in want}
            require(got == want, f"episode {episode}, step {step}: {got}, not {want}")
    require(states, "no states were told")
    return len(chosen), len(states)


def behaviour_file(mesh, follower):
    path = mesh.path("mlagents/config/walker.yaml", "")
    with open(path, "wb") as file:
        file.write(BEHAVIOUR)
    script = {"api": "shoal/v1", "kind": "exec", "name": "mlagents", "package": "mlagents",
              "run": [TRAINER], "outputs": ["digest"], "resources": {"cpus": 0}}
    peer = ["--peer", f"127.0.0.1:{follower.api_port}"]
    mesh.must(["submit", "--wait", mesh.path("mlagents.json", json.dumps(script)), *peer])
    mesh.must(["outputs", "mlagents", "-o", mesh.path("digest"), *peer])
    with open(mesh.path("digest/digest"), encoding="utf-8") as file:
        seen = file.read().split()[0]
    require(seen == hashlib.sha256(BEHAVIOUR).hexdigest(), "the behaviour file was changed on its way")
    series = follower.read("/jobs/mlagents/metrics")["series"]
    require([p[:2] for p in series["mean_reward"]] == [[1000, 0.25]], f"series {series}")


def body():
    with Mesh() as mesh:
        agents = mesh.three(extra=["--allow-commands"])
        leader = agreed_leader(agents)
        follower = next(a for a in agents if a is not leader)
        whole = trained(follower, job("whole"))
        points = curve(follower, whole)
        require(len(points) == ITERATIONS // 100, f"{len(points)} points")
        rise = points[-1][1] - points[0][1]
        require(rise >= 0.3, f"mean reward went from {points[0][1]} to {points[-1][1]}")
        killed, kills, follower = disturbed(agents, follower)
        require(kills > 0, "the job had ended before anybody was killed")
        again = curve(follower, killed)
        require([p[:2] for p in again] == [p[:2] for p in points], "another curve after kill -9")
        one, two = model_of(follower, whole), model_of(follower, killed)
        for key in ("model_digest", "state_digest", "steps"):
            require(one[key] == two[key], f"another {key} after kill -9")
        rested = model_of(follower, paused(follower))
        require(rested["state_digest"] == one["state_digest"], "another final state after a pause")
        require(two["reproducible"], "the model is not marked as reproducible")
        other = trained(follower, job("other", seed=2))
        require(model_of(follower, other)["model_digest"] != one["model_digest"], "seed 2 gave the same")
        found = evaluated(mesh, follower, "killed")
        require(found == evaluated(mesh, follower, "killed"), "evaluation differs")
        require(found["right"] >= 95, f"{found['right']} of 100 episodes found the right goal")
        count, with_states = replays(mesh, follower, killed)
        behaviour_file(mesh, follower)
        print(f"mean reward rises by {rise:.2f}, {found['right']} of 100 right; {kills} times kill -9, and a pause: same "
              f"curve of {len(points)} points and same digest; {count} episodes replayed exactly, "
              f"{with_states} with their states")


if __name__ == "__main__":
    judge(body)
