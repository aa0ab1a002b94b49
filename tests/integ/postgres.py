# SPDX-License-Identifier: Apache-2.0
"""One server of Debian's PostgreSQL on loopback, to measure beside: not replicated, every commit in the
synced log before it is acknowledged, as it is by default. It refuses to run for root, who has it run
for the user that its package made."""
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile

from mesh import Skip, require, until

START_S = 30
CONNECTIONS = 300
USER = "postgres"
TABLE = ("create table jobs(id serial primary key, type text, requirements jsonb, status text,"
         " created timestamptz default now())")
INSERT = ("insert into jobs(type, requirements, status)"
          """ values('train', '{"gpu":1,"mem":4096}', 'pending');""")


def programs():
    """The folder with the newest version's programs; Skip where there is none."""
    found = [path for path in glob.glob("/usr/lib/postgresql/*/bin")
             if all(os.access(os.path.join(path, name), os.X_OK)
                    for name in ("initdb", "postgres", "psql", "pgbench"))]
    if not found:
        raise Skip("PostgreSQL is not installed (postgresql, postgresql-contrib)")
    return max(found, key=lambda path: [int(n) for n in re.findall(r"\d+", path)])


class Postgres:
    """A context manager; stops what it started."""

    def __init__(self, ports):
        self.bin = programs()
        self.port = str(ports())
        self.process = None
        self.dir = tempfile.mkdtemp(prefix="shoal-postgres-")
        self.other = {}
        if os.getuid() == 0:
            owner = pwd.getpwnam(USER)
            self.other = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            os.chown(self.dir, owner.pw_uid, owner.pw_gid)
        self.data = os.path.join(self.dir, "data")

    def __enter__(self):
        try:
            self.must("initdb", "-D", self.data, "-U", USER, "-A", "trust", "--locale=C",
                      **self.other)
            with open(os.path.join(self.dir, "log"), "wb") as log:
                self.process = subprocess.Popen(
                    [os.path.join(self.bin, "postgres"), "-D", self.data, "-p", self.port,
                     "-k", self.dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=on",
                     "-c", "synchronous_commit=on", "-c", f"max_connections={CONNECTIONS}"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir, **self.other)
            until("PostgreSQL answers", START_S, lambda: self.sql("select 1").returncode == 0)
            made = self.sql(TABLE)
            require(made.returncode == 0, f"PostgreSQL: {made.stderr}")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)  # at once, with its children
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, program, *words, **how):
        return subprocess.run([os.path.join(self.bin, program), *words], cwd=self.dir, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                              **how)

    def must(self, program, *words, **how):
        done = self.run(program, *words, **how)
        require(done.returncode == 0, f"{program}: {done.stderr}")
        return done.stdout

    def where(self):
        return ["-h", "127.0.0.1", "-p", self.port, "-U", USER]

    def sql(self, text):
        return self.run("psql", *self.where(), "-q", "-c", text, "postgres")

    def inserts(self, clients, seconds):
        """Rows a second that so many clients insert, one a transaction; (rate, mean ms)."""
        path = os.path.join(self.dir, "insert.sql")
        with open(path, "w", encoding="ascii") as script:
            script.write(INSERT + "\n")
        text = self.must("pgbench", *self.where(), "-n", "-M", "prepared", "-f", path,
                         "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds),
                         "postgres")
        rate = re.search(r"^tps = ([\d.]+) ", text, re.M)
        mean = re.search(r"^latency average = ([\d.]+) ms", text, re.M)
        failed = re.search(r"^number of failed transactions: 0 ", text, re.M)
        require(rate and mean and failed, f"pgbench: {text}")
        return float(rate[1]), float(mean[1])
