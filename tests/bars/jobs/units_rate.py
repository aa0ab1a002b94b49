#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Units without work a second, from submit over place and run to commit, beside the no-op tasks of
dask.distributed and the jobs of gearman (both in memory, on one server), on this machine in turns:
at least five times dask's rate and more than gearman's, medians of three rounds (--short: one), though
each unit is placed and committed by three agents with every write on disk. In the same run, without a
bar: units of a script that is `true`, which fork and a sandbox limit, and an array of Slurm's.

Submitted to a follower. By hand: wants a machine without other load, a release build,
python3-distributed, gearman-job-server, gearman-tools; slurmctld, slurmd, munge and root for Slurm's.
"""
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Mesh, Skip, agreed_leader, judge, require, shared, until

UNITS = 5000
SCRIPT_UNITS = 60
PEER_S = 180
LEAST_DASK = 5.0
NOOP = {"api": "shoal/v1", "kind": "noop", "name": "bench", "units": UNITS}
SCRIPT = {"api": "shoal/v1", "kind": "exec", "name": "script", "run": [["/bin/true"]],
          "replicas": SCRIPT_UNITS, "resources": {"cpus": 0}}


def peer(script, pattern, *words):
    """Runs one of the peers' scripts; the number in its line that the pattern finds."""
    with tempfile.TemporaryDirectory(prefix="shoal-peer-") as scratch:
        done = subprocess.run([shared("peers", script), *words], capture_output=True, text=True,
                              check=False, timeout=PEER_S, env={**os.environ, "TMPDIR": scratch})
    found = re.search(pattern, done.stdout)
    require(found, f"{script}: {done.stdout[-500:]} {done.stderr[-500:]}")
    return float(found.group(1))


def dask():
    return peer("dask_tasks.py", r"map 5000 no-op tasks: ([0-9.]+)")


def gearman():
    return peer("gearman_jobs.sh", r"2 workers: ([0-9.]+)")


def slurm():
    return peer("slurm_tasks.sh", r"batch jobs on 2 nodes: ([0-9.]+)", "40")


def finish(agent, job):
    """Seconds from the submission on until the agent shows that the last unit was committed."""
    began = time.monotonic()
    row = agent.submit(job)
    until("the units are committed", 300,
          lambda: agent.read("/jobs?limit=1")["jobs"][0]["state"] == "completed")
    took = time.monotonic() - began
    done = agent.job(row["id"])
    require(done["units_completed"] == done["units"], f"not all were committed: {done}")
    return took


def shoal():
    with Mesh(release=True) as mesh:
        agents = mesh.three(extra=["--allow-commands"])
        leader = agreed_leader(agents)
        follower = next(agent for agent in agents if agent is not leader)
        finish(follower, dict(NOOP, units=200))
        noop = UNITS / finish(follower, NOOP)
        return noop, SCRIPT_UNITS / finish(follower, SCRIPT)


def main():
    for program in ("gearmand", "gearman", "dask-scheduler"):
        if shutil.which(program) is None:
            raise Skip(f"{program} is not installed")
    rounds = 1 if "--short" in sys.argv else 3
    rates = {"shoal": [], "script": [], "dask": [], "gearman": []}
    for number in range(rounds):
        noop, script = shoal()
        rates["shoal"].append(noop)
        rates["script"].append(script)
        rates["dask"].append(dask())
        rates["gearman"].append(gearman())
        print(f"round {number + 1}: " + ", ".join(f"{name} {rate[-1]:.0f}/s"
                                                  for name, rate in rates.items()), flush=True)
    if shutil.which("slurmctld") and shutil.which("munged") and os.getuid() == 0:
        print(f"slurm, an array of 40: {slurm():.1f}/s", flush=True)
    median = {name: statistics.median(rate) for name, rate in rates.items()}
    text = (f"units without work: {median['shoal'] / median['dask']:.1f} times dask's tasks, "
            f"{median['shoal'] / median['gearman']:.2f} times gearman's jobs; of a script "
            f"{median['script']:.0f}/s")
    require(median["shoal"] >= LEAST_DASK * median["dask"] and median["shoal"] > median["gearman"],
            text)
    print(text)


if __name__ == "__main__":
    judge(main)
