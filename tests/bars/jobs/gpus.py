#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GPUs of a faked driver that tells of four: units that run at a time have distinct ones, as
CUDA_VISIBLE_DEVICES and SHOAL_GPUS say and the job's log records; never more units run than there
are GPUs for; what a unit leaves the next one gets; a unit that asked for none sees none; a job that
asks for five waits with that reason. Of agents of root each unit runs as a user of its own. All asked of a follower; the driver is on one agent of three.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Skip, agreed_leader, finished, require, run, until
from training import submit

GPUS = 4
END_S = 120
DRIVER = """
#include <stddef.h>
#include <string.h>
int cuInit(unsigned flags) { (void)flags; return 0; }
int cuDeviceGetCount(int *n) { *n = %d; return 0; }
int cuDeviceGetName(char *out, int size, int i) { (void)i; strncpy(out, "Fake GPU", size); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int i) { (void)i; *bytes = (size_t)8 << 30; return 0; }
"""
# Each unit holds a lock of every GPU that it was told to have, as a driver in exclusive mode would.
SCRIPT = """import fcntl, os, sys
here = sys.argv[1]
own = os.environ["CUDA_VISIBLE_DEVICES"]
assert own == os.environ["SHOAL_GPUS"]
locks = []
for gpu in own.split(",") if own else []:
    lock = open(os.path.join(here, "gpu" + gpu), "w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    locks.append(lock)
print("user", os.getuid(), flush=True)
print("has", own or "none", flush=True)
if len(sys.argv) > 2:
    fifo = os.open(os.path.join(here, sys.argv[2]), os.O_RDONLY)
    os.read(fifo, 1)
"""


def build_driver(mesh):
    source = mesh.path("driver/fake.c", DRIVER % GPUS)
    folder = os.path.dirname(source)
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", os.path.join(folder, "libcuda.so.1"), source],
                       check=True)
    except FileNotFoundError as absent:
        raise Skip("no C compiler for the faked driver") from absent
    return folder


def job(mesh, name, gpus, units, gate=None):
    command = ["python3", "hold.py", mesh.dir] + ([gate] if gate else [])
    return {"api": "shoal/v1", "kind": "exec", "name": name, "package": mesh.path("package"),
            "run": [command], "replicas": units, "resources": {"gpus": gpus, "cpus": 0},
            "sandbox": {"level": "none"}, "retries": 0}


def said(agent, number):
    return [line["text"][4:] for line in agent.read(f"/jobs/{number}/logs?limit=1000")["lines"]
            if line["text"].startswith("has ")]


def begun(agent, number):
    """The agent's own lines come by another thread than the script's: maybe after them."""
    return sorted(line["text"][-1] for line in agent.read(f"/jobs/{number}/logs?limit=1000")["lines"]
                  if " begins on " in line["text"])


def all_at_a_time(mesh, agent):
    """Five units of a GPU each for four: the fifth has that of whichever ends first."""
    os.mkfifo(mesh.path("gate"))
    for gpu in range(GPUS):
        os.chmod(mesh.path(f"gpu{gpu}", ""), 0o666)  # units of root's agents are of several users
    os.chmod(mesh.path("gate"), 0o666)
    number = submit(mesh, agent, job(mesh, "hold", 1, GPUS + 1, "gate"))
    until("four units hold a GPU each", END_S, lambda: len(said(agent, number)) == GPUS)
    require(sorted(said(agent, number)) == ["0", "1", "2", "3"], str(said(agent, number)))
    users = [line["text"] for line in agent.read(f"/jobs/{number}/logs?limit=1000")["lines"]
             if line["text"].startswith("user ")]
    if os.geteuid() == 0:
        require(len(set(users)) == GPUS and "user 0" not in users, f"{users}")
    until("the log names the GPU of each", END_S, lambda: begun(agent, number) == ["0", "1", "2", "3"])
    other = submit(mesh, agent, job(mesh, "none", 0, 1))
    finished(agent, other, END_S)
    require(said(agent, other) == ["none"], str(said(agent, other)))
    gate = os.open(mesh.path("gate"), os.O_WRONLY)
    os.write(gate, b"1")
    until("the fifth has one", END_S, lambda: len(said(agent, number)) == GPUS + 1)
    os.write(gate, b"1" * GPUS)
    os.close(gate)
    finished(agent, number, END_S)
    require(set(said(agent, number)) == {"0", "1", "2", "3"}, str(said(agent, number)))


def main(mesh):
    folder = build_driver(mesh)
    mesh.path("package/hold.py", SCRIPT)
    agents = []
    for name in ("alpha", "beta", "gamma"):
        env = {"LD_LIBRARY_PATH": folder} if name == "beta" else {}
        agents.append(mesh.add(name, join=agents[-1:], env=env,
                               extra=["--allow-commands", "--sandbox-min", "none",
                                      "--slots", "8"]).start())
    mesh.wait_voters(agents)
    follower = next(a for a in agents if a is not agreed_leader(agents))
    until("the GPUs of beta are known", 30, lambda: follower.nodes()["beta"]["gpus"] == GPUS)
    all_at_a_time(mesh, follower)
    for _ in range(2):
        number = submit(mesh, follower, job(mesh, "pairs", 2, 6))
        finished(follower, number, END_S)
        pairs = said(follower, number)
        require(len(pairs) == 6 and all(len(set(pair.split(","))) == 2 for pair in pairs), str(pairs))
    number = submit(mesh, follower, job(mesh, "five", GPUS + 1, 1))
    until("why says that none has five", END_S,
          lambda: any("GPU" in line for line in follower.why(number)))
    print(f"{GPUS} GPUs: {GPUS} units at a time on distinct ones, the next on what one left; "
          f"12 pairs distinct; a job for {GPUS + 1} waits with the reason")


if __name__ == "__main__":
    run(main)
