#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in daily use is answered with one clear line that names the thing and the exit
status that agent/cli/exit.h documents, and harms nothing else: the mesh beside it keeps its
coordinator, its jobs and equal states, and commits a job at the end. Fast: part of every test run.
"""
import os
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import (Skip, agreed_leader, build_dir, equal_states, finished, noop, require, run, until)

INTERNAL, USAGE, NOT_FOUND, CONFLICT, DENIED, UNREACHABLE = 1, 2, 3, 4, 5, 6
INVALID, JOB_FAILED = 8, 10
SPARE = 120 << 20  # left of the small disk when uploads begin
UPLOAD = 4 << 20

IMAGES = """\
api: shoal/v1
kind: train
name: images
data: {train: images, validation: 0}
model: {input: [1, 4, 4], layers: [flatten, {dense: 10}]}
train: {batch: 8, ranks: 4, epochs: 1}
"""
TABLE = """\
api: shoal/v1
kind: train
name: table
data: {train: table.csv, validation: 0}
model: {input: [2], layers: [{dense: 3}]}
train: {batch: 4, ranks: 2, epochs: 1}
"""
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


class Row:
    """One situation: does something wrong and looks at what came of it."""

    def __init__(self, mesh, agents):
        self.mesh = mesh
        self.agents = agents
        self.count = 0

    def answered(self, done, status, *words):
        """One line, apart from what an agent's journal says in passing, with all the words."""
        lines = [line for line in done.stderr.splitlines()
                 if " info: " not in line and " warn: " not in line]
        require(done.returncode == status, f"exit status {done.returncode}, not {status}: {lines}")
        require(len(lines) == 1, f"not one line but {len(lines)}: {lines}")
        for word in words:
            require(word in lines[0], f"no word of {word}: {lines[0]}")

    # ---- job files and data ----

    def submit(self, text, status, *words):
        path = self.mesh.path("job.yaml", text)
        done = self.mesh.cli("submit", path, "--peer", self.agents[1].api)
        self.answered(done, status, *words)

    def images(self, pixels, labels, cut=0, name=IMAGES):
        count = len(labels)
        body = struct.pack(">iiii", 0x803, count, 4, 4) + bytes(pixels * count)
        self.mesh.path("images/" + NAMES[0], body[:len(body) - cut])
        self.mesh.path("images/" + NAMES[1], struct.pack(">ii", 0x801, count) + bytes(labels))
        return name

    def unknown_key(self):
        self.submit(TABLE.replace("epochs", "epochss"), INVALID, "job.yaml:6", "epochss", "epochs?")

    def wrong_type(self):
        self.submit(TABLE.replace("batch: 4", "batch: many"), INVALID, "train.batch", "many")

    def batch_not_divisible_by_ranks(self):
        self.submit(TABLE.replace("batch: 4", "batch: 5"), INVALID, "train.batch", "train.ranks")

    def missing_data_set(self):
        self.submit(TABLE.replace("table.csv", "dataset:nowhere"), NOT_FOUND, "data.train",
                    "nowhere")

    def missing_files(self):
        self.submit(TABLE.replace("table.csv", "nowhere"), NOT_FOUND, "nowhere", *NAMES)

    def label_out_of_range(self):
        self.submit(self.images(16, bytes(79) + b"\x0c"), INVALID, NAMES[1], "12", "0 to 9")

    def class_too_many_in_a_table(self):
        self.mesh.path("table.csv", "1,2,a\n3,4,b\n5,6,c\n7,8,d\n")
        self.submit(TABLE, INVALID, "table.csv:4", '"d"')

    def text_in_a_numeric_column(self):
        self.mesh.path("table.csv", "1,2,0\n3,4,1\n5,x,2\n7,8,1\n")
        self.submit(TABLE, INVALID, "table.csv:3", "column 2", '"x"')

    def truncated_idx(self):
        self.submit(self.images(16, bytes(80), cut=5), INVALID, NAMES[0], "truncated")

    def shape_mismatch(self):
        job = self.images(16, bytes(80)).replace("1, 4, 4", "1, 8, 8")
        self.submit(job, INVALID, NAMES[0], "1 x 4 x 4", "1 x 8 x 8")

    def loss_that_is_not_finite(self):
        """The job stops; step, rank and the first bad tensor are named."""
        self.mesh.path("table.csv", "1,2,0\n3,4,1\n3e38,3e38,2\n7,8,1\n")
        job = TABLE.replace("validation: 0", "validation: 0, normalize: none")
        done = self.mesh.cli("submit", self.mesh.path("job.yaml", job), "--wait", "--peer",
                             self.agents[1].api)
        lines = [line for line in done.stdout.splitlines() if line.startswith("failed ")]
        require(done.returncode == JOB_FAILED, f"exit status {done.returncode}: {done.stderr}")
        require(len(lines) == 1, f"not one line but {lines}")
        for word in ("step 1", "rank ", '"dense1"', "is not finite"):
            require(word in lines[0], f"no word of {word}: {lines[0]}")

    # ---- agents ----

    def unreachable_peer(self):
        done = self.mesh.cli("nodes", "--peer", f"127.0.0.1:{self.mesh.free_port()}")
        self.answered(done, UNREACHABLE, "no agent answers", "127.0.0.1")

    def newcomer(self, status, *words, env=None, found=False, **changes):
        """An agent that must end by itself, with fields of it changed."""
        self.count += 1
        agent = self.mesh.add(f"extra-{self.count}", join=self.agents[:1])
        for key, value in changes.items():
            setattr(agent, key, value)
        command = agent.command()
        if changes.get("join") == [] and not found:
            command.remove("--new")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env=self.mesh.environment(env), timeout=20, check=False)
        self.answered(done, status, *words)
        return agent

    def other_secret(self):
        path = self.mesh.path("other-secret")
        if not os.path.exists(path):
            self.mesh.must(["init", "--secret", path])
        return path

    def wrong_secret(self):
        self.newcomer(DENIED, self.agents[0].addr, "secret", secret=self.other_secret())
        until("the other side says so, too", 5,
              lambda: "it holds another cluster secret" in self.agents[0].journal())

    def directory_of_another_cluster(self):
        agent = self.agents[2]
        mine = agent.status()["cluster"]
        agent.kill()
        self.newcomer(DENIED, agent.dir, mine, "cluster", dir=agent.dir, secret=self.other_secret())
        agent.start()

    def second_agent_on_one_directory(self):
        agent = self.agents[1]
        self.newcomer(CONFLICT, agent.dir, str(agent.process.pid), dir=agent.dir)

    def unwritable_directory(self):
        if os.geteuid() == 0:
            self.newcomer(DENIED, "/sys/shoal", dir="/sys/shoal")  # not even root writes there
            return
        path = self.mesh.path("locked")
        os.mkdir(path, 0o500)
        self.newcomer(DENIED, path, dir=path + "/data")

    def empty_directory_without_a_choice(self):
        self.newcomer(USAGE, "--new", "--join", join=[])

    def name_taken(self):
        owner = self.agents[0]
        self.newcomer(CONFLICT, owner.name, owner.addr, "--name", name=owner.name)

    def name_that_is_none(self):
        self.newcomer(USAGE, "--name a b", "letters", name="a b")

    def second_cluster_in_a_directory_that_waits(self):
        owner = self.agents[0]
        waits = self.newcomer(CONFLICT, owner.name, name=owner.name)
        self.newcomer(CONFLICT, waits.dir, "--join", dir=waits.dir, join=[],
                      found=True)

    def lost_log(self):
        agent = self.agents[2]
        agent.kill()
        state, aside = os.path.join(agent.dir, "state"), agent.dir + ".aside"
        os.rename(state, aside)
        self.newcomer(INTERNAL, state, "gone", dir=agent.dir, name=agent.name)
        if os.path.isdir(state):
            os.rmdir(state)
        os.rename(aside, state)
        agent.start()

    def mixed_program_versions(self):
        version = self.mesh.must(["version"]).split()[1].encode()
        with open(self.mesh.shoal, "rb") as program:
            code = program.read()
        if version + b"\0" not in code:
            raise Skip("the version is not one string in this build")
        other = b"9" + version[1:]
        path = self.mesh.path("other-shoal", code.replace(version + b"\0", other + b"\0"))
        os.chmod(path, 0o755)
        mine, self.mesh.shoal = self.mesh.shoal, path
        try:
            self.newcomer(CONFLICT, "mixed program versions", version.decode(), other.decode())
        finally:
            self.mesh.shoal = mine

    def control_port_in_use(self):
        self.newcomer(CONFLICT, "control plane", self.agents[0].addr, addr=self.agents[0].addr)

    def bulk_port_in_use(self):
        taken = self.agents[0].addr
        self.newcomer(CONFLICT, "bulk plane", taken, addr=f"127.0.0.1:{self.agents[0].port - 1}")

    def gossip_port_in_use(self):
        port = self.mesh.free_port(2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
            holder.bind(("127.0.0.1", port))
            self.newcomer(CONFLICT, "gossip plane", str(port), addr=f"127.0.0.1:{port}")

    def api_port_in_use(self):
        self.newcomer(CONFLICT, "api", self.agents[0].api, api=self.agents[0].api)

    # ---- disks ----

    def full_disk(self):
        """Full at the start: the agent ends. Full later: uploads are refused, the agent lives."""
        if os.geteuid() != 0:
            raise Skip("a small file system needs root")
        disk = self.mesh.path("disk")
        os.makedirs(disk, exist_ok=True)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", disk],
                              capture_output=True, check=False)
        if made.returncode != 0:
            raise Skip("no small file system can be mounted here")
        agent = self.mesh.add("small", join=self.agents[:1])
        agent.dir = os.path.join(disk, "data")
        try:
            fill(os.path.join(disk, "fill"))
            self.newcomer(INTERNAL, disk, "No space left", dir=agent.dir)
            os.remove(os.path.join(disk, "fill"))
            agent.start()
            fill(os.path.join(disk, "fill"), SPARE)
            self.fill_blobs(agent)
            job = until("the full agent takes a job", 20, lambda: agent.submit(noop("full"))["id"])
            finished(self.agents[0], job, 20)
            agent.leave()
        finally:
            agent.stop()
            subprocess.run(["umount", "-l", disk], check=True)

    def fill_blobs(self, agent):
        for _ in range(SPARE // UPLOAD):
            answer = agent.call("PUT", "/blobs", os.urandom(UPLOAD), timeout=150)
            if answer.status != 201:
                require(answer.status == 507 and answer.code() == "NO_SPACE", f"{answer}")
                return
        require(False, "uploads left nothing of the disk to the log")

    def corrupt_blob(self):
        """A damaged copy is replaced by a sound one; where all are damaged a reader is told."""
        holders = []
        while len(holders) != 2:  # where the second was slow to answer, the third got it too
            data = os.urandom(1 << 20)
            uploaded = self.agents[0].call("PUT", "/blobs", data)
            require(uploaded.status == 201, f"{uploaded}")
            digest = uploaded.json["digest"]
            holders = [agent for agent in self.agents if damage(agent, data)]
            require(len(holders) >= 2, f"{len(holders)} agents held an upload")
        job = TABLE.replace("table.csv", "files:" + digest)
        self.submit(job, INVALID, digest, "damaged")
        for holder in holders:
            require(digest in holder.journal(), f"{holder.name} does not name the blob")
        # A sound copy at the third agent lets the holders heal; the data stay what they are.
        third = next(agent for agent in self.agents if agent not in holders)
        again = third.call("PUT", "/blobs", data)
        require(again.status == 201 and again.json["digest"] == digest, f"{again}")
        for holder in holders:
            answer = holder.call("POST", "/jobs", {**as_json(digest), "name": holder.name})
            require(answer.status == 201, f"{holder.name} did not heal its copy: {answer}")
            stopped = holder.call("POST", f"/jobs/{answer.json['id']}/stop")
            require(stopped.status in (202, 409), f"stop: {stopped}")  # 409: it has failed already


def as_json(digest):
    return {"api": "shoal/v1", "kind": "train", "data": {"train": "files:" + digest},
            "model": {"input": [2], "layers": [{"dense": 3}]},
            "train": {"batch": 4, "ranks": 2, "epochs": 1}}


def fill(path, leave=0):
    """Writes until the disk has no more than leave bytes free."""
    out = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while leave == 0 or os.fstatvfs(out).f_bavail * os.fstatvfs(out).f_frsize > leave:
            os.write(out, bytes(4096))
    except OSError:
        pass
    finally:
        os.close(out)


def damage(agent, data):
    """Flips one bit of the data in the files of an agent; False where it has none."""
    agent.kill()
    agent.start()  # what was in the store's log lies in its tables now
    agent.kill()
    found = False
    for folder, _, names in os.walk(os.path.join(agent.dir, "bulk")):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                at = file.read().find(data[5000:5064])
            if at >= 0:
                found = True
                with open(path, "r+b") as file:
                    file.seek(at)
                    file.write(bytes([data[5000] ^ 1]))
    agent.start()
    return found


ROWS = [name for name, value in vars(Row).items()
        if callable(value) and not name.startswith("_") and
        name not in ("answered", "submit", "images", "newcomer", "other_secret", "fill_blobs")]


def main(mesh):
    agents = mesh.three()
    row = Row(mesh, agents)
    finished(agents[0], agents[1].submit(noop("before"))["id"], 20)
    skipped = 0
    for name in sys.argv[1:] or ROWS:
        jobs = [job for job in agents[0].read("/jobs")["jobs"] if job["kind"] == "noop"]
        try:
            getattr(row, name)()
            print(f"ok   {name}", flush=True)
        except Skip as why:
            skipped += 1
            print(f"SKIP {name}: {why}", flush=True)
        except Exception:
            print(f"FAIL {name}", flush=True)
            raise
        agreed_leader(agents)
        kept = agents[0].read("/jobs")["jobs"]
        require(all(job in kept for job in jobs), f"{name}: a job was harmed")
    mesh.wait_voters(agents)
    finished(agents[2], agents[1].submit(noop("after"))["id"], 20)
    equal_states(agents)
    print(f"{len(ROWS) - skipped} situations, each with one clear line")


if __name__ == "__main__":
    run(main)
