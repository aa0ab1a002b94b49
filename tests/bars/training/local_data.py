#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Samples of a local data set never leave their agent. Three agents with 9 MB each train ten
federated rounds while every packet between them is captured (a raw socket on the loopback
interface; root): no sample is in it, neither as the text it was nor as the numbers that training
reads; and what is sent in all is too little to carry the data in any form: less than a quarter of one
agent's. Afterwards no other agent's directory has a sample, looking at a set is refused by every
agent, and no other job may name it. Prints the bytes that were sent. SKIP where sockets may not be
opened raw.
"""
import os
import random
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from federated import CLASSES, FEATURES, delivered, job, trained
from mesh import Skip, require, run

SAMPLES = 80000
DIGITS = 15  # of each number: no two samples look alike
PROBES = 200
DISK_PROBES = 12
CAPTURE_MAX = 256 << 20
ETH_P_ALL = 3


class Capture(threading.Thread):
    """Everything that leaves the ports of some agents on the loopback interface."""

    def __init__(self, ports):
        super().__init__(daemon=True)
        try:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        except PermissionError as why:
            raise Skip(f"no raw sockets: {why}") from why
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self.socket.bind(("lo", 0))
        self.socket.settimeout(0.2)
        self.ports = ports
        self.bytes = bytearray()
        self.ending = False

    def run(self):
        while not self.ending:
            try:
                frame, address = self.socket.recvfrom(1 << 17)
            except socket.timeout:
                continue
            if address[2] != socket.PACKET_OUTGOING or frame[12:14] != b"\x08\x00":
                continue  # the loopback shows each packet twice
            head = 14 + (frame[14] & 15) * 4
            source, target = struct.unpack_from(">HH", frame, head)
            if source in self.ports or target in self.ports:
                payload = frame[head + 8:] if frame[23] == 17 else frame[
                    head + (frame[head + 12] >> 4) * 4:]
                self.bytes += payload
                require(len(self.bytes) < CAPTURE_MAX, "more was captured than this bar can keep")

    def end(self):
        self.ending = True
        self.join(10)
        self.socket.close()
        return bytes(self.bytes)


def part(seed):
    """A table, its size in bytes, and what would give away that one of its samples went by."""
    chance = random.Random(seed)
    lines = [",".join(f"x{i}" for i in range(FEATURES)) + ",label"]
    signs = []
    for i in range(SAMPLES):
        label = chance.randrange(len(CLASSES))
        values = [chance.gauss(label - 1, 0.5) for _ in range(FEATURES)]
        texts = [f"{v:.{DIGITS}f}" for v in values]
        lines.append(",".join(texts) + "," + CLASSES[label])
        if i % (SAMPLES // PROBES) == 0:
            signs.append(texts[0].encode())
            signs.append(struct.pack("<2f", *map(float, texts[:2])))
            signs.append(struct.pack("<2d", *map(float, texts[:2])))
    return "\n".join(lines) + "\n", signs


def directory(agent):
    for folder, _, names in os.walk(agent.dir):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                yield os.path.join(folder, name), file.read()


def refused(mesh, agents):
    for agent in agents:
        for where in ("files", "preview"):
            for holder in agents:
                answer = agent.get(f"/datasets/private/{where}?node={holder.name}")
                require(answer.status == 403 and answer.code() == "DENIED", f"{where}: {answer}")
    plain = job(1, name="private")
    del plain["federated"]
    plain["data"]["normalize"] = "none"
    for spec in (plain, {"api": "shoal/v1", "kind": "predict", "name": "look", "model": "private",
                         "input": "dataset:private"}):
        answer = agents[1].call("POST", "/jobs", spec)
        require(answer.status == 400 and "is local" in str(answer), f"{spec['kind']}: {answer}")


def main(mesh):
    agents = mesh.three()
    signs = {}
    size = 0
    for seed, agent in enumerate(agents):
        text, signs[agent.name] = part(seed)
        size = len(text)
        path = mesh.path(f"private-{agent.name}.csv", text)
        mesh.must(["dataset", "add", "private", path, "--local", "--peer", agent.api])
    every = [sign for some in signs.values() for sign in some]
    with open(mesh.path(f"private-{agents[0].name}.csv"), "rb") as file:
        require(every[0] in file.read(), "a sign that is in no table")
    capture = Capture({port for agent in agents for port in (agent.port, agent.port + 1)})
    capture.start()
    _, seen, _ = trained(mesh, agents[1], job(10, name="private", min=3,
                                              train={"batch": 64, "epochs": 10}))
    sent = capture.end()
    require(all(len(delivered(record)) == 3 for record in seen), f"took part: {seen}")
    require(len(sent) > 10000, f"only {len(sent)} bytes were captured")
    found = [sign for sign in every if sign in sent]
    require(not found, f"{len(found)} samples went by, such as {found[0] if found else ''!r}")
    require(len(sent) < size / 4, f"{len(sent)} bytes were sent, an agent's data have {size}")
    refused(mesh, agents)
    for agent in agents:
        for path, content in directory(agent):
            for name, some in signs.items():
                seen_here = any(sign in content for sign in some[::len(some) // DISK_PROBES])
                require(not seen_here, f"{path} has samples of {name}")
    print(f"{len(sent)} bytes sent in {len(seen)} rounds over 3 times {size} bytes of data; none of "
          f"{len(every)} signs of samples among them")


if __name__ == "__main__":
    run(main)
