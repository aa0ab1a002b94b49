#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Committed submissions a second, beside etcd's puts of 256 bytes: three agents against three members,
both with every write on disk before it is acknowledged, on this machine, fresh in each round and in
turns, one load generator for both, one submission or put a request. The jobs wait for more cores than
there are, so what is measured is taking them in. Medians of five rounds (--short: two of 2 s): at
least twice etcd's rate with one client and four times with 256. By hand: wants a machine without
other load, etcd-server and etcd-client, a release build.
"""
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from etcd import Etcd, put
from mesh import Mesh, agreed_leader, build_dir, judge, require

CLIENTS = (1, 256)
LEAST = {1: 2.0, 256: 4.0}
JOB = json.dumps({"api": "shoal/v1", "kind": "noop", "name": "bench", "units": 1,
                  "resources": {"cpus": 1024}})


def rate(port, path, body, clients, seconds):
    program = os.path.join(build_dir(True), "bin", "http_rate")
    done = subprocess.run([program, f"127.0.0.1:{port}", "POST", path, str(clients), str(seconds),
                           body], capture_output=True, text=True, check=False, timeout=120)
    require(done.returncode == 0, f"{path}: {done.stderr}")
    requests, median, high = done.stdout.split()
    print(f"  {clients} clients: {requests}/s, {median} us, 99 % within {high} us", flush=True)
    return float(requests)


def measure_shoal(seconds):
    with Mesh(release=True) as mesh:
        leader = agreed_leader(mesh.three())
        return {c: rate(leader.api_port, "/api/v1/jobs", JOB, c, seconds) for c in CLIENTS}


def measure_etcd(seconds):
    with Mesh(release=True) as ports, Etcd(ports.free_port) as etcd:
        return {c: rate(etcd.leader, "/v3/kv/put", put("bench", 256), c, seconds) for c in CLIENTS}


def main():
    rounds, seconds = (2, 2) if "--short" in sys.argv else (5, 4)
    ours, theirs = [], []
    for number in range(rounds):
        print(f"round {number + 1}: shoal", flush=True)
        ours.append(measure_shoal(seconds))
        print(f"round {number + 1}: etcd", flush=True)
        theirs.append(measure_etcd(seconds))
    ratio = {c: statistics.median(r[c] for r in ours) / statistics.median(r[c] for r in theirs)
             for c in CLIENTS}
    text = ", ".join(f"{ratio[c]:.2f} with {c}" for c in CLIENTS)
    require(all(ratio[c] >= LEAST[c] for c in CLIENTS), f"submissions to etcd's puts: {text}")
    print(f"submissions to etcd's puts: {text}")


if __name__ == "__main__":
    judge(main)
