#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The all-reduce of training beside Open MPI and gloo, in turns on this machine: sums of f32 vectors
of 4 KiB, 1 MiB and 64 MiB among 2 and 4 processes. Medians of three turns each. Between two
processes of one machine: at least three times as fast as MPI over shared memory with 1 MiB and
64 MiB, and at most 60 us with 4 KiB. Between two that are apart, over the encrypted bulk plane:
with 64 MiB at least 80 % of what CURVE alone carries between two processes. Everything else is
printed.

By hand: wants a machine without other load, openmpi-bin and libopenmpi-dev, python3-torch (gloo),
a release build.
"""
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Skip, build_dir, judge, require, shared

TURNS = 3
SIZES = {4096: 1000, 1 << 20: 200, 64 << 20: 9}  # bytes: rounds
LEAST = 3.0
SHORT_US = 60
CURVE = 0.8


def run(words, **environment):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False,
                          timeout=300, env={**os.environ, **environment})
    require(done.returncode == 0, f"{words[0]}: {done.stderr[-500:]}")
    return done.stdout


def cases():
    return [word for size, rounds in SIZES.items() for word in (size, rounds)]


def of_ours(way, members):
    lines = run([os.path.join(build_dir(True), "bin", "all_reduce"), way, members, *cases()])
    return {int(line.split()[0]): float(line.split()[2]) for line in lines.splitlines()}


def of_curve():
    """Microseconds in which each of two sends 64 MiB to the other, as an all-reduce of two does."""
    size = max(SIZES)
    return float(run([os.path.join(build_dir(True), "bin", "curve_rate"), size,
                      SIZES[size]]).split()[1])


def medians(text):
    """Of the peers' lines: {bytes: microseconds}."""
    found = re.findall(r"bytes=(\d+) .*?med_us=([\d.]+)", text)
    require(len(found) == len(SIZES), f"what a peer printed: {text[-300:]}")
    return {int(size): float(us) for size, us in found}


def of_mpi(program, members, *ways):
    return medians(run(["mpirun", "--allow-run-as-root", "--oversubscribe", "--quiet", "-n",
                        members, *ways, program, *cases()]))


def of_gloo(members):
    return medians(run(["/usr/bin/python3", shared("peers", "gloo_allreduce.py"), members],
                       GLOO_FAST="1"))


def compile_mpi(folder):
    if shutil.which("mpicc") is None or shutil.which("mpirun") is None:
        raise Skip("needs openmpi-bin and libopenmpi-dev")
    program = os.path.join(folder, "mpi_allreduce")
    run(["mpicc", "-O2", "-o", program, shared("peers", "mpi_allreduce.c")])
    return program


def has_gloo():
    return subprocess.run(["/usr/bin/python3", "-c", "import torch.distributed"],
                          capture_output=True, check=False).returncode == 0


def measure(members, program):
    """{way: {bytes: microseconds}}, and microseconds of CURVE alone."""
    ways = {"shoal, one machine": lambda: of_ours("shelf", members),
            "shoal, bulk plane": lambda: of_ours("curve", members),
            "MPI, shared memory": lambda: of_mpi(program, members),
            "MPI, tcp": lambda: of_mpi(program, members, "--mca", "btl", "tcp,self")}
    if has_gloo():
        ways["gloo, tcp"] = lambda: of_gloo(members)
    times = {way: {size: [] for size in SIZES} for way in ways}
    curve = []
    for _ in range(TURNS):
        curve.append(of_curve())
        for way, one in ways.items():
            for size, us in one().items():
                times[way][size].append(us)
    return {way: {size: statistics.median(list_) for size, list_ in of_way.items()}
            for way, of_way in times.items()}, statistics.median(curve)


def show(members, times):
    print(f"{members} processes, microseconds: " + ", ".join(f"{size} bytes" for size in SIZES))
    for way, of_way in times.items():
        print(f"  {way:20}" + "".join(f"{of_way[size]:12.1f}" for size in SIZES), flush=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        program = compile_mpi(folder)
        two, curve = measure(2, program)
        show(2, two)
        print(f"  CURVE alone, both ways {curve:30.1f}")
        show(4, measure(4, program)[0])
    ours = two["shoal, one machine"]
    mpi = two["MPI, shared memory"]
    apart = two["shoal, bulk plane"]
    ratios = {size: mpi[size] / ours[size] for size in SIZES}
    if "gloo, tcp" in two:
        print("bulk plane, encrypted, beside gloo in plain text: " +
              ", ".join(f"{two['gloo, tcp'][size] / apart[size]:.2f}" for size in SIZES))
    require(ours[4096] <= SHORT_US, f"4 KiB in {ours[4096]} us, {SHORT_US} at most")
    for size in (1 << 20, 64 << 20):
        require(ratios[size] >= LEAST, f"{size} bytes: {ratios[size]:.2f} times as fast as MPI")
    part = curve / apart[64 << 20]
    require(part >= CURVE, f"{part:.2f} of what CURVE carries, {CURVE} at least")
    print(f"4 KiB in {ours[4096]:.1f} us; as fast as MPI over shared memory times "
          f"{ratios[1 << 20]:.1f} with 1 MiB, {ratios[64 << 20]:.1f} with 64 MiB; "
          f"{part:.2f} of CURVE alone")


judge(main)
