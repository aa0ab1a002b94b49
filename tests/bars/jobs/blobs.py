#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a script left is on three of five agents. A holder dies: the bytes come from another agent, by
one that never had them, and after a few seconds three live agents hold them again; then another
holder dies, and so on. A bit flips in one copy: that agent hands out none of it, fetches a sound one,
and all give equal bytes.
"""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, finished, require, run, until

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
BYTES = 3_000_000
OPTIONS = ["--allow-commands", "--collect-every", "30s", "--collect-grace", "10s"]
MARK = b"these words stand in the middle of what the script leaves"


def script():
    half = BYTES // 2
    return {"api": "shoal/v1", "kind": "exec", "name": "bytes", "model_file": "out",
            "run": [f"head -c {half} /dev/urandom > out; echo '{MARK.decode()}' >> out; "
                    f"head -c {half} /dev/urandom >> out"]}


def holders(agent):
    return {node["name"] for node in agent.read("/models/bytes")["holders"]}


def fetch(agent):
    answer = agent.get("/models/bytes/file", timeout=60)
    require(answer.status == 200, f"{agent.name}: {answer}")
    return hashlib.blake2b(answer.body, digest_size=32).hexdigest()


def flip_copy(agent):
    """One bit of the words, wherever they lie in this agent's store of blobs."""
    flipped = 0
    for folder, _, names in os.walk(os.path.join(agent.dir, "bulk")):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                data = file.read()
            at = data.find(MARK)
            while at >= 0 and name.endswith((".blob", ".sst")):
                with open(path, "r+b") as file:
                    file.seek(at + 5)
                    file.write(bytes([data[at + 5] ^ 1]))
                flipped += 1
                at = data.find(MARK, at + 1)
    return flipped


def main(mesh):
    agents = [mesh.add(NAMES[0], extra=OPTIONS).start()]
    for name in NAMES[1:]:
        agents.append(mesh.add(name, join=agents[:1], extra=OPTIONS).start())
    until("three agents vote", 40, lambda: sum(
        n["voter"] for n in agents[0].nodes().values()) == 3)
    leader = agreed_leader(agents)
    job = leader.submit(script())["id"]
    finished(leader, job, 60)
    digest = leader.read("/models/bytes")["file_digest"]
    until("three agents hold it", 30, lambda: len(holders(leader)) == 3)

    rounds = 0
    for _ in range(2):
        live = [a for a in agents if a.running()]
        had = holders(live[0])
        victim = next(a for a in live if a.name in had)
        rest = [a for a in live if a is not victim]
        victim.kill()
        reader = next(a for a in rest if a.name in had)
        until(f"{reader.name} answers", 10, lambda: reader.get("/models/bytes").status == 200)
        require(fetch(reader) == digest, f"{reader.name} gives other bytes")
        until(f"without {victim.name} three hold it again", 40,
              lambda: len(holders(reader) - {victim.name}) >= 3)
        for agent in rest:
            require(fetch(agent) == digest, f"{agent.name} gives other bytes")
        until("three that are alive vote", 40, lambda: sum(
            n["voter"] and n["liveness"] == "alive" for n in reader.nodes().values()) == 3)
        rounds += 1
    live = [a for a in agents if a.running()]
    broken = next(a for a in live if a.name in holders(live[0]) and a is not agreed_leader(live))
    require(broken.leave() == 0, "it did not end")
    if flip_copy(broken) == 0:  # it lies in the log still, which a start moves into tables
        broken.start()
        require(broken.leave() == 0, "it did not end")
        require(flip_copy(broken) > 0, "the copy was not found on the disk")
    broken.start()
    require(fetch(broken) == digest, "a damaged copy was handed out")
    require("damage" in broken.journal() or "corrupt" in broken.journal().lower(),
            f"nothing is said about the damage:\n{broken.journal()[-2000:]}")
    for agent in live:
        require(fetch(agent) == digest, f"{agent.name} gives other bytes")
    print(f"{rounds} holders lost one after the other, one copy damaged: equal bytes from everybody")


if __name__ == "__main__":
    run(main)
