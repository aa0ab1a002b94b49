#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How scripts end, all asked of a follower. One that always fails is tried three times, each with
its log, waits a while before each, which `why` tells, and fails; a sleeper ends at its timeout; one
that ignores SIGTERM is gone within 5 s of `stop` where its grace is 2 s, and what it had made is
kept; no state takes what it does not allow.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, require, run, until
from training import submit

TIMEOUT_S, SLACK_S = 5, 2
GRACE_S, GONE_S = 2, 5
END_S = 90
STUBBORN = """import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("early", "w").write("kept")
print("begins", flush=True)
time.sleep(600)
"""


def script(name, run_lines, **more):
    return {"api": "shoal/v1", "kind": "exec", "name": name, "run": run_lines, **more}


def ended(agent, job):
    row = until(f"job {job} ends", END_S, lambda: agent.job(job) if agent.job(job)["ended_us"] > 0
                else None)
    return row


def log(agent, job):
    return agent.read(f"/jobs/{job}/logs?limit=1000")["lines"]


def always_failing(mesh, agent):
    job = submit(mesh, agent, script("failing", ["echo attempt; exit 7"]))
    waits = []

    def probe():
        row = agent.job(job)
        waits.extend(line for line in agent.why(job) if "before it is tried again" in line)
        return row if row["state"] == "failed" else None
    row = until("it fails", END_S, probe)
    causes = [event["cause"] for event in row["history"]]
    require(causes == ["submitted"] + ["placed", "failed and will be tried again"] * 2 +
            ["placed", "failed"], f"history: {causes}")
    require("exit status 7" in row["failure"]["message"], row["failure"])
    attempts = [line["generation"] for line in log(agent, job) if line["text"] == "attempt"]
    require(len(attempts) == 3 and len(set(attempts)) == 3, f"logs of attempts: {attempts}")
    require(waits and all("s left)" in line for line in waits), f"why, meanwhile: {waits}")
    at = [event["at_us"] / 1e6 for event in row["history"]]
    pauses = [at[3] - at[2], at[5] - at[4]]
    require(2.4 <= pauses[0] and pauses[1] >= 4.9, f"back-off: {pauses}")
    answer = agent.call("POST", f"/jobs/{job}/stop")
    require(answer.status == 409 and "the job is failed" in str(answer), str(answer))
    return pauses


def sleeper(mesh, agent):
    job = submit(mesh, agent, script("sleeper", ["sleep 600"], timeout=f"{TIMEOUT_S}s",
                                     grace="1s", retries=0))
    row = ended(agent, job)
    took = (row["ended_us"] - row["started_us"]) / 1e6
    require(row["state"] == "failed" and "the limit" in row["failure"]["message"], str(row))
    require(abs(took - TIMEOUT_S) <= SLACK_S, f"ended after {took:.1f} s")
    return took


def processes(word):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                if word.encode() in file.read():
                    found.append(int(entry))
        except OSError:
            continue  # it ended meanwhile
    return found


def stubborn(mesh, agent):
    word = f"stubborn-{os.getpid()}.py"
    mesh.path(f"stubborn/{word}", STUBBORN)
    job = submit(mesh, agent, script("stubborn", [["python3", word]], grace=f"{GRACE_S}s",
                                     package=mesh.path("stubborn"), outputs=["early", "late"]))
    until("it runs", 30, lambda: any(line["text"] == "begins" for line in log(agent, job)))
    require(processes(word), "its process is not to be seen")
    began = time.monotonic()
    mesh.must(["stop", job, "--peer", agent.api])
    until("its process is gone", GONE_S, lambda: not processes(word))
    gone = time.monotonic() - began
    row = ended(agent, job)
    require(row["state"] == "stopped" and row["unit_list"][0]["partial"], str(row["unit_list"]))
    folder = mesh.path("kept")
    mesh.must(["outputs", job, "-o", folder, "--peer", agent.api])
    require(os.listdir(folder) == ["early"], f"kept: {os.listdir(folder)}")
    answer = agent.call("POST", f"/jobs/{job}/resume")
    require(answer.status == 409 and "the job is stopped" in str(answer), str(answer))
    return gone


def main(mesh):
    agents = mesh.three(extra=["--allow-commands"])
    follower = next(a for a in agents if a is not agreed_leader(agents))
    pauses = always_failing(mesh, follower)
    took = sleeper(mesh, follower)
    gone = stubborn(mesh, follower)
    print(f"3 attempts after {pauses[0]:.1f} s and {pauses[1]:.1f} s; timeout of {TIMEOUT_S} s "
          f"after {took:.1f} s; stubborn script gone {gone:.1f} s after stop")


if __name__ == "__main__":
    run(main)
