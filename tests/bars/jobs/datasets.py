#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Folders of pictures, a table and an IDX pair that lie on one of three agents, declared, listed, shown,
previewed and gone through page by page at a follower that has none of them; whatever would lead out
of a set, written plainly, encoded or as a link, is refused or leads nowhere; a set that is removed is
gone and its files are not.
"""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import agreed_leader, require, run

CLASSES = ("cat", "dog", "owl")
PICTURES = 7  # of a class
SAMPLES = 30
ESCAPES = ("..", "../..", "cat/../../hidden", "/etc", "//etc", "cat/./..", "cat//x",
           "%2e%2e", "%2e%2e%2f%2e%2e", "..%2f..", "cat%2f..%2f..", "%2fetc", "..%5c..")


def write_sets(mesh):
    pictures = mesh.path("pictures")
    for number, name in enumerate(CLASSES):
        for i in range(PICTURES):
            body = b"P5 8 8 255\n" + bytes([number * 80 + i]) * 64
            mesh.path(f"pictures/{name}/{i}.pgm", body)
    mesh.path("hidden/key.pgm", b"P5 8 8 255\n" + bytes(64))
    os.symlink(mesh.path("hidden"), os.path.join(pictures, "cat", "way-out"))
    rows = "".join(f"{i}.5,{i % 3},{'odd' if i % 2 else 'even'}\n" for i in range(SAMPLES))
    table = mesh.path("table.csv", "size,legs,parity\n" + rows)
    images = struct.pack(">IIII", 0x803, SAMPLES, 4, 4) + bytes(range(16)) * SAMPLES
    labels = struct.pack(">II", 0x801, SAMPLES) + bytes(i % 10 for i in range(SAMPLES))
    for part in ("train", "t10k"):
        mesh.path(f"idx/{part}-images-idx3-ubyte", images)
        mesh.path(f"idx/{part}-labels-idx1-ubyte", labels)
    return {"pictures": pictures, "table": table, "numbers": mesh.path("idx")}


def check_previews(agent):
    p = agent.read("/datasets/pictures/preview")
    require(p["kind"] == "pictures" and p["classes"] == {c: PICTURES for c in CLASSES} and
            {s["class"] for s in p["samples"]} == set(CLASSES), f"{p}")
    require(all(s["size"] == 75 for s in p["samples"]), f"{p['samples']}")
    t = agent.read("/datasets/table/preview")
    require(t["kind"] == "csv" and t["rows"][0] == ["size", "legs", "parity"] and
            t["rows"][1] == ["0.5", "0", "even"] and len(t["rows"]) == 11, f"{t}")
    n = agent.read("/datasets/numbers/preview")
    require(n["kind"] == "idx" and n["files"] == 4, f"{n}")


def check_pages(agent):
    seen, start = [], 0
    while True:
        page = agent.read(f"/datasets/pictures/files?limit=4&from={start}")
        seen += [f["file"] for f in page["files"]]
        start = page["next"]
        if start == 0:
            break
    want = {f"{c}/{i}.pgm" for c in CLASSES for i in range(PICTURES)}
    require(len(seen) == len(want) and set(seen) == want, f"{sorted(seen)}")
    below = agent.read("/datasets/pictures/files?under=dog")
    require(below["total"] == PICTURES and
            all(f["file"].startswith("dog/") for f in below["files"]), f"{below}")


def check_escapes(agent):
    for path in ESCAPES:
        answer = agent.get(f"/datasets/pictures/files?under={path}")
        require(answer.status in (400, 404), f"under={path}: {answer}")
        require(b"key" not in answer.body and b"passwd" not in answer.body, f"under={path}: {answer}")
        answer = agent.get(f"/datasets/{path}/files")
        require(answer.status in (400, 404), f"{path}: {answer}")
    for path in ("cat/way-out", "cat/way-out/key.pgm", "do", "wolf"):
        answer = agent.get(f"/datasets/pictures/files?under={path}")
        require(answer.status == 404, f"under={path}: {answer}")
    require(agent.get("/datasets/nothing").status == 404, "no such set")
    require(agent.get("/datasets/pictures/files?limit=0").status == 400, "a bad limit")


def main(mesh):
    agents = mesh.three()
    leader = agreed_leader(agents)
    follower, owner = [a for a in agents if a is not leader]
    sets = write_sets(mesh)
    for name, path in sets.items():
        mesh.must(["dataset", "add", name, path, "--node", owner.name, "--peer", follower.api])
    listed = {s["name"] for s in follower.read("/datasets")["datasets"]}
    require(listed == set(sets), f"{listed}")
    shown = follower.read("/datasets/pictures")
    require([h["name"] for h in shown["holders"]] == [owner.name], f"{shown}")
    check_previews(follower)
    check_pages(follower)
    check_escapes(follower)
    out = mesh.must(["dataset", "preview", "table", "--peer", follower.api])
    require("size,legs,parity" in out, out)
    out = mesh.must(["dataset", "files", "pictures", "--under", "owl", "--peer", follower.api])
    require(out.count("owl/") == PICTURES, out)
    mesh.must(["dataset", "remove", "table", "--peer", follower.api])
    require(leader.get("/datasets/table").status == 404, "the set is still there")
    require(follower.call("DELETE", "/datasets/table").status == 404, "removed twice")
    require(os.path.exists(sets["table"]), "its file is gone")
    answer = follower.call("DELETE", f"/datasets/pictures?node={owner.name}")
    require(answer.status == 200 and leader.get("/datasets/pictures").status == 404, f"{answer}")
    print(f"{len(sets)} sets of {owner.name} seen at {follower.name}; {2 * len(ESCAPES)} ways out "
          "lead nowhere")


if __name__ == "__main__":
    run(main)
