#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Committed submissions a second, beside etcd's puts of 256 bytes: three agents against three members,
both with every write on disk before it is acknowledged, on this machine, fresh in each round and in
turns, one load generator for both, one submission or put a request. The jobs wait for more cores than
there are, so what is measured is taking them in. Medians of five rounds (--short: two of 2 s): at
least twice etcd's rate with one client and four times with 256.

In the same rounds, without a bar of their own: submissions without HTTP and JSON, by a program that
is the third agent and sends each to the coordinator as agents do; and, where it is installed, rows
that one PostgreSQL inserts, not replicated, one a transaction. By hand: wants a machine without
other load, etcd-server and etcd-client, postgresql and postgresql-contrib, a release build.
"""
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from etcd import Etcd, put
from mesh import Mesh, Skip, agreed_leader, build_dir, judge, require
from postgres import Postgres, programs

CLIENTS = (1, 256)
LEAST = {1: 2.0, 256: 4.0}
CONNECTIONS = 16  # of PostgreSQL: it has a process for each, and is slower with more
JOB = json.dumps({"api": "shoal/v1", "kind": "noop", "name": "bench", "units": 1,
                  "resources": {"cpus": 1024}})


def run(program, *words):
    """What it printed: lines of requests a second, their median and 99th percentile."""
    done = subprocess.run([os.path.join(build_dir(True), "bin", program), *map(str, words)],
                          capture_output=True, text=True, check=False, timeout=120)
    require(done.returncode == 0, f"{program}: {done.stderr}")
    return done.stdout.splitlines()


def show(clients, line):
    requests, median, high = line.split()
    print(f"  {clients} clients: {requests}/s, {median} us, 99 % within {high} us", flush=True)
    return float(requests)


def rate(port, path, body, clients, seconds):
    line, = run("http_rate", f"127.0.0.1:{port}", "POST", path, clients, seconds, body)
    return show(clients, line)


def measure_shoal(seconds):
    with Mesh(release=True) as mesh:
        leader = agreed_leader(mesh.three())
        return {c: rate(leader.api_port, "/api/v1/jobs", JOB, c, seconds) for c in CLIENTS}


def measure_binary(seconds):
    with Mesh(release=True) as mesh:
        first = mesh.add("alpha").start()
        mesh.add("beta", join=[first]).start()
        lines = run("submit_rate", first.addr, mesh.secret, mesh.path("gamma"),
                    f"127.0.0.1:{mesh.free_port(2)}", f"127.0.0.1:{mesh.free_port()}", seconds, JOB,
                    *CLIENTS)
        return {c: show(c, line) for c, line in zip(CLIENTS, lines)}


def measure_etcd(seconds):
    with Mesh(release=True) as ports, Etcd(ports.free_port) as etcd:
        return {c: rate(etcd.leader, "/v3/kv/put", put("bench", 256), c, seconds) for c in CLIENTS}


def measure_postgres(seconds):
    rates = {}
    with Mesh(release=True) as ports, Postgres(ports.free_port) as postgres:
        for clients in CLIENTS:
            connections = min(clients, CONNECTIONS)
            rates[clients], mean = postgres.inserts(connections, seconds)
            print(f"  {connections} clients: {rates[clients]:.0f}/s, mean {mean} ms", flush=True)
    return rates


def measured():
    """What is measured in each round, by name."""
    all_of_them = {"shoal": measure_shoal, "shoal, binary": measure_binary, "etcd": measure_etcd}
    try:
        programs()
    except Skip as why:
        print(why, flush=True)
        return all_of_them
    return {**all_of_them, "PostgreSQL": measure_postgres}


def ratios(rounds, ours, theirs):
    """Of medians, by the number of clients."""
    def median(name, clients):
        return statistics.median(rates[clients] for rates in rounds[name])
    return {c: median(ours, c) / median(theirs, c) for c in CLIENTS}


def words(ratio):
    return ", ".join(f"{ratio[c]:.2f} with {c}" for c in CLIENTS)


def main():
    count, seconds = (2, 2) if "--short" in sys.argv else (5, 4)
    systems = measured()
    rounds = {name: [] for name in systems}
    for number in range(count):
        for name, measure in systems.items():
            print(f"round {number + 1}: {name}", flush=True)
            rounds[name].append(measure(seconds))
    if "PostgreSQL" in systems:
        for ours in ("shoal", "shoal, binary"):
            print(f"{ours} to PostgreSQL's inserts ({CONNECTIONS} connections at most): "
                  + words(ratios(rounds, ours, "PostgreSQL")))
    print("without HTTP and JSON, to etcd's puts: "
          + words(ratios(rounds, "shoal, binary", "etcd")))
    ratio = ratios(rounds, "shoal", "etcd")
    text = f"submissions to etcd's puts: {words(ratio)}"
    require(all(ratio[c] >= LEAST[c] for c in CLIENTS), text)
    print(text)


if __name__ == "__main__":
    judge(main)
