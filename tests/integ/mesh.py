# SPDX-License-Identifier: Apache-2.0
"""Real agents on loopback, for integration tests and bars.

    def main(mesh): ...
    if __name__ == "__main__":
        run(main)                        # or judge(body), which makes its meshes itself

The program is $SHOAL_BUILD/bin/shoal ($SHOAL_RELEASE with run(main, release=True)); both default to
build/dev of this tree. Everything lives in one temporary directory, which run() removes after it
has stopped every process that was started; where a bar does not hold the journals are printed and
kept. Nothing here waits for a time to pass: until() asks again and again up to a deadline.
Ports are taken outside the range that the kernel hands out to clients and locked for as long as the
mesh lasts, so that an agent that is down for a while finds its own again, whoever else runs meshes.
"""
import contextlib
import fcntl
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
API = "/api/v1"
EPHEMERAL = "/proc/sys/net/ipv4/ip_local_port_range"
PORTS_MIN = 1000
POLL_S = 0.02
START_S = 20
STOP_S = 15
JOURNAL_LINES = 60


class Failed(Exception):
    """The bar does not hold; the text says what was seen."""


class Skip(Exception):
    """The bar cannot be measured on this machine; the text says why."""


class Unreachable(Exception):
    """An agent did not answer; the text has its name and the cause."""


def require(holds, text):
    if not holds:
        raise Failed(text)


def until(what, seconds, probe):
    """The first true value of probe(), asked until then; Failed after seconds. An agent that does
    not answer counts as false."""
    deadline = time.monotonic() + seconds
    seen = None
    while True:
        try:
            value = probe()
            seen = value
        except Unreachable as gone:
            value = None
            seen = str(gone)
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s (last: {seen})")
        time.sleep(POLL_S)


def build_dir(release=False):
    name = "SHOAL_RELEASE" if release else "SHOAL_BUILD"
    return os.environ.get(name) or os.path.join(TREE, "build", "release" if release else "dev")


def shared(*parts):
    """A path among the shared data sets; Skip where it is absent."""
    root = os.environ.get("SHOAL_SHARED") or os.path.join(os.path.dirname(TREE), "shared")
    path = os.path.join(root, *parts)
    if not os.path.exists(path):
        raise Skip(f"{path} is absent")
    return path


def listening_ports():
    """The ports to choose from: no client is given one of them by the kernel."""
    with open(EPHEMERAL, encoding="ascii") as file:
        low, high = map(int, file.read().split())
    ports = [port for port in range(10000, 65536) if not low <= port <= high]
    if len(ports) < PORTS_MIN:
        raise Skip(f"{EPHEMERAL} leaves {len(ports)} ports from 10000 on")
    return ports


class Ports:
    """Ports that nobody else uses: each is locked, by a file in a folder that all share, until
    close(). The lock goes with the process that holds it."""

    def __init__(self, folder=None):
        self.folder = folder or os.path.join(tempfile.gettempdir(), f"shoal-ports-{os.getuid()}")
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self.choice = listening_ports()
        self.held = {}

    def take(self, port):
        """True where it is ours from now on."""
        if port in self.held:
            return False
        lock = os.open(os.path.join(self.folder, str(port)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
                       0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self.held[port] = lock
        return True

    def give_back(self, port):
        os.close(self.held.pop(port))

    def pick(self, width=1):
        """A port whose width - 1 successors are ours too."""
        for _ in range(1000):
            first = random.choice(self.choice)
            taken = []
            for port in range(first, first + width):
                if port not in self.choice or not self.take(port):
                    break
                taken.append(port)
                if not is_free(port):
                    break
            else:
                return first
            for port in taken:
                self.give_back(port)
        raise Failed("no free ports")

    def close(self):
        for port in list(self.held):
            self.give_back(port)


def is_free(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


class Answer:
    """Of one HTTP call: status, body (bytes), and json where it is that."""

    def __init__(self, status, body):
        self.status = status
        self.body = body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = None

    def code(self):
        return (self.json or {}).get("error", {}).get("code", "")

    def __str__(self):
        return f"{self.status} {self.body[:400].decode(errors='replace')}"


class Agent:
    """One `shoal agent` process and its directory; start() and kill() may alternate."""

    def __init__(self, mesh, name, port, api_port):
        self.mesh = mesh
        self.name = name
        self.addr = f"127.0.0.1:{port}"
        self.port = port
        self.api_port = api_port
        self.api = f"127.0.0.1:{api_port}"
        self.dir = os.path.join(mesh.dir, name)
        self.journal_path = os.path.join(mesh.dir, name + ".log")
        self.secret = mesh.secret
        self.join = []
        self.env = {}
        self.extra = []
        self.process = None

    def command(self):
        words = [self.mesh.shoal, "agent", "--secret", self.secret, "--data", self.dir, "--listen",
                 self.addr, "--api", self.api, "--name", self.name]
        for other in self.join:
            words += ["--join", other]
        return words + ["--new"] * (not self.join) + self.extra

    def launch(self):
        """Starts the process and does not wait for it."""
        require(self.process is None, f"{self.name} runs already")
        with open(self.journal_path, "ab") as journal:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL,
                                            stdout=journal, stderr=journal,
                                            env=self.mesh.environment(self.env))
        return self

    def start(self):
        return self.launch().wait_up()

    def wait_up(self):
        until(f"agent {self.name} answers", START_S, self.answers)
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise Failed(f"agent {self.name} ended with {self.process.returncode} while starting")
        return self.get("/status", timeout=2).status == 200

    def inside(self):
        """A context in which sockets reach this agent's API."""
        return contextlib.nullcontext()

    def call(self, method, path, body=None, headers=None, timeout=25):
        """One HTTP request; Unreachable where there is no answer within timeout seconds."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        link = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=timeout)
        try:
            with self.inside():
                link.connect()
            link.request(method, API + path, body, headers or {})
            reply = link.getresponse()
            return Answer(reply.status, reply.read())
        except (OSError, http.client.HTTPException) as cause:
            if self.process is not None and self.process.poll() is not None:
                raise Failed(f"agent {self.name} ended by itself with status "
                             f"{self.process.returncode}") from cause
            raise Unreachable(f"{self.name}: {method} {path}: {cause!r}") from cause
        finally:
            link.close()

    def get(self, path, timeout=25):
        return self.call("GET", path, timeout=timeout)

    def read(self, path):
        """The JSON of a GET that must succeed."""
        answer = self.get(path)
        require(answer.status == 200, f"{self.name}: GET {path}: {answer}")
        return answer.json

    def status(self):
        return self.read("/status")

    def nodes(self):
        # A newcomer that was turned away for its name has left, and still bears it.
        nodes = sorted(self.read("/nodes")["nodes"], key=lambda node: node["liveness"] != "left")
        return {node["name"]: node for node in nodes}

    def liveness(self, name):
        return self.nodes().get(name, {}).get("liveness")

    def leader(self):
        """Name of the coordinator that this agent knows, or None."""
        return (self.status()["leader"] or {}).get("name")

    def submit(self, job, key=None):
        """Submits a job (a dict); its row."""
        answer = self.call("POST", "/jobs", job, {"Idempotency-Key": key} if key else None)
        require(answer.status in (200, 201), f"{self.name}: submit: {answer}")
        return answer.json

    def job(self, job_id):
        return self.read(f"/jobs/{job_id}")

    def why(self, job_id):
        return self.read(f"/jobs/{job_id}/why")["lines"]

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        require(self.running(), f"agent {self.name} does not run")
        self.process.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """kill -9; returns when the process is gone."""
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def leave(self, seconds=STOP_S):
        """SIGTERM; the exit status, Failed if it takes longer."""
        self.signal(signal.SIGTERM)
        return self.end(seconds)

    def end(self, seconds):
        """Waits for a process that ends by itself; its exit status."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise Failed(f"agent {self.name} still runs after {seconds} s") from late
        self.process = None
        return status

    def journal(self):
        with open(self.journal_path, encoding="utf-8", errors="replace") as lines:
            return lines.read()

    def stop(self):
        """Ends the process whatever its state; for cleaning up."""
        if self.running():
            self.process.send_signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None


class Mesh:
    """Agents that belong together, under one directory; a context manager that stops them all."""

    def __init__(self, release=False):
        self.shoal = os.path.join(build_dir(release), "bin", "shoal")
        if not os.access(self.shoal, os.X_OK):
            raise Skip(f"{self.shoal} is not built")
        self.dir = tempfile.mkdtemp(prefix="shoal-mesh-")
        os.chmod(self.dir, 0o1777)  # root runs commands as users of their own, who meet here
        self.secret = os.path.join(self.dir, "secret")
        self.agents = []
        self.ports = Ports()
        self.must(["init", "--secret", self.secret])

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()
        if kind is None or issubclass(kind, Skip):
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            self.print_journals()

    def stop(self):
        for agent in self.agents:
            agent.stop()
        self.ports.close()

    def print_journals(self):
        for agent in self.agents:
            if os.path.exists(agent.journal_path):
                lines = agent.journal().splitlines()
                print(f"--- journal of {agent.name}, its last {JOURNAL_LINES} of {len(lines)} lines")
                print("\n".join(lines[-JOURNAL_LINES:]))
        print(f"--- everything is kept in {self.dir}", flush=True)

    def environment(self, extra=None):
        plain = {key: value for key, value in os.environ.items() if not key.startswith("SHOAL_")}
        return {**plain, **(extra or {})}

    def free_port(self, width=1):
        """A port whose width - 1 successors are free too; nobody else is given them."""
        return self.ports.pick(width)

    def add(self, name, join=None, env=None, extra=None):
        """An agent that is not started yet. join: agents or addresses; none: it founds."""
        agent = Agent(self, name, self.free_port(2), self.free_port())
        agent.join = [getattr(other, "addr", other) for other in join or []]
        agent.env = dict(env or {})
        agent.extra = list(extra or [])
        self.agents.append(agent)
        return agent

    def three(self, names=("alpha", "beta", "gamma"), **options):
        """Three running agents that all vote, each told one address of one other."""
        agents = []
        for name in names:
            agents.append(self.add(name, join=agents[-1:], **options).start())
        self.wait_voters(agents)
        return agents

    def wait_voters(self, agents, seconds=20):
        names = {agent.name for agent in agents}

        def all_vote():
            return all({name for name, node in agent.nodes().items()
                        if node["voter"] and node["liveness"] == "alive"} >= names
                       for agent in agents)
        until(f"{len(agents)} agents vote", seconds, all_vote)

    def cli(self, *words, env=None, text=None, seconds=60):
        """One `shoal` command; its CompletedProcess with stdout and stderr as text."""
        return subprocess.run([self.shoal, *map(str, words)], env=self.environment(env), input=text,
                              stdin=subprocess.DEVNULL if text is None else None,
                              capture_output=True, text=True, errors="replace", timeout=seconds,
                              check=False)

    def must(self, words, **options):
        done = self.cli(*words, **options)
        require(done.returncode == 0, f"shoal {' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout

    def path(self, name, content=None):
        """A path in the directory of this mesh, written where content is given."""
        path = os.path.join(self.dir, name)
        if content is not None:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb" if isinstance(content, bytes) else "w") as out:
                out.write(content)
        return path


def agreed_leader(agents, seconds=10):
    """The agent that all of them hold for the coordinator."""
    def probe():
        names = {agent.leader() for agent in agents}
        return names.pop() if len(names) == 1 and None not in names else None
    name = until("one coordinator that all know", seconds, probe)
    return next((agent for agent in agents if agent.name == name), None)


def equal_states(agents, seconds=10):
    """The state digest that all reach at one applied index."""
    def probe():
        states = {(s["applied_index"], s["state_digest"]) for s in (a.status() for a in agents)}
        return states.pop() if len(states) == 1 else None
    return until("equal states", seconds, probe)[1]


def noop(name="noop", units=8):
    return {"api": "shoal/v1", "kind": "noop", "name": name, "units": units}


def finished(agent, job_id, seconds, state="completed"):
    """Waits until the job has ended; Failed unless it ended in that state. Its row."""
    def probe():
        answer = agent.get(f"/jobs/{job_id}")
        if answer.status == 503:
            return None  # between two coordinators
        require(answer.status == 200, f"{agent.name}: job {job_id}: {answer}")
        row = answer.json
        return row if row["state"] in ("completed", "failed", "stopped") else None
    row = until(f"job {job_id} ends", seconds, probe)
    require(row["state"] == state,
            f"job {job_id} is {row['state']}: {row.get('failure', {}).get('message', '')}")
    return row


@contextlib.contextmanager
def timed(result):
    """Puts the seconds that the block took into result[0]."""
    start = time.monotonic()
    yield
    result[:] = [time.monotonic() - start]


def judge(body):
    """Runs body() and ends the process: 0 it holds, 77 skipped, 1 it does not."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    try:
        body()
    except Skip as why:
        print(f"SKIP {why}")
        sys.exit(77)
    except Failed as why:
        print(f"FAILED {why}")
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    sys.exit(0)


def run(main, release=False):
    """judge() of main(mesh) on a mesh of its own."""
    def body():
        with Mesh(release) as mesh:
            main(mesh)
    judge(body)
