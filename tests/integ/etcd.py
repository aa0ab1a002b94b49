# SPDX-License-Identifier: Apache-2.0
"""Three members of Debian's etcd on loopback, to measure beside: every write in fsynced logs, as it is
by default, and default timeouts."""
import base64
import http.client
import json
import os
import shutil
import subprocess
import tempfile

from mesh import Skip, require, until

START_S = 20


class Etcd:
    """A context manager; stops what it started."""

    def __init__(self, ports, members=3):
        for program in ("etcd", "etcdctl"):
            if shutil.which(program) is None:
                raise Skip(f"{program} is not installed (etcd-server, etcd-client)")
        self.dir = tempfile.mkdtemp(prefix="shoal-etcd-")
        self.clients = [ports() for _ in range(members)]
        peers = [ports() for _ in range(members)]
        cluster = ",".join(f"m{i}=http://127.0.0.1:{port}" for i, port in enumerate(peers))
        self.processes = []
        for i, (client, peer) in enumerate(zip(self.clients, peers)):
            mine, theirs = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
            with open(os.path.join(self.dir, f"m{i}.log"), "wb") as log:
                self.processes.append(subprocess.Popen(
                    ["etcd", "--name", f"m{i}", "--data-dir", os.path.join(self.dir, f"m{i}"),
                     "--listen-client-urls", mine, "--advertise-client-urls", mine,
                     "--listen-peer-urls", theirs, "--initial-advertise-peer-urls", theirs,
                     "--initial-cluster", cluster, "--initial-cluster-state", "new",
                     "--logger", "zap", "--log-level", "error"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def __enter__(self):
        try:
            self.leader = until("etcd has a leader", START_S, self.find_leader)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    def stop(self):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def find_leader(self):
        """The port of the leader's clients once it takes writes."""
        for port in self.clients:
            try:
                answer = post(port, "/v3/maintenance/status", "{}")
                if answer["leader"] == answer["header"]["member_id"]:
                    post(port, "/v3/kv/put", put("ready", 1))
                    return port
            except (OSError, KeyError, http.client.HTTPException, ValueError):
                continue
        return None


def put(key, size):
    """The body of a request that writes so many bytes."""
    value = base64.b64encode(os.urandom(size)).decode()
    return json.dumps({"key": base64.b64encode(key.encode()).decode(), "value": value})


def post(port, path, body):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        link.request("POST", path, body, {"Content-Type": "application/json"})
        reply = link.getresponse()
        text = reply.read()
        require(reply.status == 200, f"etcd: {path}: {reply.status} {text}")
        return json.loads(text)
    finally:
        link.close()
