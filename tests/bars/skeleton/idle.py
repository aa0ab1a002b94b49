#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three idle agents of the release build together use less than 3 % of one core over 60 s, and each
has less than 100 MB of private memory. What a wake-up costs differs by a factor of five from one
minute to the next on a virtual machine, so with --short, as in the test run, 20 s of idleness are
compared with a program that does nothing but wake up beside them (tests/perf/wake_cost.c).
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, build_dir, equal_states, finished, noop, require, run

CORE_PERCENT = 3.0
WAKES = 8.0  # times what wake_cost uses; 2.9 to 4.3 seen
PRIVATE_MB = 100.0
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(agent):
    """User and system time of all threads of the process (proc(5))."""
    with open(f"/proc/{agent.process.pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def private_mb(agent):
    total = 0
    with open(f"/proc/{agent.process.pid}/smaps_rollup", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1])
    return total * 1024 / 1e6


def main(mesh):
    short = "--short" in sys.argv
    seconds = 20 if short else 60
    agents = mesh.three()
    finished(agents[0], agents[1].submit(noop("warm"))["id"], 20)
    equal_states(agents)
    agreed_leader(agents)
    start = time.monotonic()
    used = sum(cpu_s(agent) for agent in agents)
    program = os.path.join(build_dir(True), "bin", "wake_cost")
    done = subprocess.run([program, str(seconds)], capture_output=True, text=True, check=True,
                          timeout=seconds + 60)
    elapsed = time.monotonic() - start
    used = sum(cpu_s(agent) for agent in agents) - used
    percent = 100 * used / elapsed
    wakes = used / float(done.stdout)
    memory = {agent.name: private_mb(agent) for agent in agents}
    print("private memory: " + ", ".join(f"{name} {mb:.1f} MB" for name, mb in memory.items()))
    print(f"processor: {percent:.2f} % of a core over {elapsed:.0f} s")
    print(f"and {wakes:.2f} times what wake_cost uses")
    if short:
        require(wakes < WAKES, f"more than {WAKES} times what wake_cost uses")
    else:
        require(percent < CORE_PERCENT, f"more than {CORE_PERCENT} % of a core")
    require(max(memory.values()) < PRIVATE_MB, f"more than {PRIVATE_MB:.0f} MB")
    print(f"{percent:.2f} % of a core, {max(memory.values()):.1f} MB")


if __name__ == "__main__":
    run(main, release=True)
