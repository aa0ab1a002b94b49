#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bar: commands that mean harm are contained. At every level that this machine gives, beside a job that
behaves: one forks without end (also out of its group and session), one fills memory, one the disk, one
reads files and environments of the other job, one dials out, one signals the other job and its own
keeper, one fills what lies in memory without being anybody's. Each has to end by its limit, or to be
refused, within its time; nothing of it may be left; the other job has to end as if it were alone. In the
end the program that supervises is killed, and nothing of its command may survive. Levels that the machine
does not give, and what a level does not claim, are reported and not counted.

    tests/bars/jobs/sandbox.py [PROGRAM]         PROGRAM: build/release/tests/exec_run
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

FILES, NETWORK, SIGNALS, TMP, HIDDEN = 1, 2, 4, 8, 16
USER = 64123  # nobody's; the other job has the next
MIB = 1 << 20
LIMIT_S = 30
SECRET = "what-only-the-other-job-knows"

FORKS = "bomb() { bomb | bomb & }; bomb; wait; sleep 60"
FORKS_AWAY = """
import os
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        pass
"""
MEMORY = """
import os, time
held = []
for i in range(64):
    held.append(bytearray(os.urandom(1)) * (16 << 20))
    if i % 4 == 3 and os.fork() != 0:
        time.sleep(60)
time.sleep(60)
"""
DISK = "i=0; while :; do i=$((i+1)); head -c 4194304 /dev/zero >f$i || exit 3; done"
ONE_FILE = "exec dd if=/dev/zero of=one bs=1M"
IN_MEMORY = """
import os, time
for place in ("/tmp", "/dev/shm", "/", "/dev", "/run"):
    try:
        with open(place + "/fill-%d" % os.getpid(), "wb") as out:
            for _ in range(256):
                out.write(bytes(1 << 20))
        print("FILLED", place)
    except OSError as why:
        print(place, why.errno)
"""
READ = """
import os, sys
found = []
def look(path):
    try:
        with open(path, "rb") as file:
            if b"%(secret)s" in file.read():
                found.append(path)
    except OSError:
        pass
look("%(file)s")
for pid in os.listdir("/proc"):
    if pid.isdigit() and int(pid) not in (os.getpid(), os.getppid()):
        look("/proc/%%s/environ" %% pid)
        look("/proc/%%s/root%(file)s" %% pid)
        look("/proc/%%s/cwd/secret" %% pid)
try:
    with open("%(file)s", "a") as file:
        file.write("x")
    found.append("wrote")
except OSError:
    pass
print("FOUND", found) if found else print("nothing")
"""
DIAL = """
import socket
for family, kind, to in ((socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", %(port)d)),
                         (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", %(port)d)),
                         (socket.AF_INET, socket.SOCK_STREAM, ("%(address)s", %(port)d)),
                         (socket.AF_INET6, socket.SOCK_STREAM, ("::1", %(port)d))):
    try:
        s = socket.socket(family, kind)
        s.settimeout(2)
        s.connect(to)
        s.send(b"hello")
        # A datagram of a network of its own goes nowhere: the listener tells.
        print("DIALLED" if kind == socket.SOCK_STREAM else "sent", to)
    except OSError as why:
        print(to, why.errno)
"""
SIGNAL = "kill -9 %d; echo other $?; kill -9 $PPID; echo keeper $?"
GOOD = """
import hashlib, sys
digest = b""
for i in range(40):
    for _ in range(20000):
        digest = hashlib.sha256(digest).digest()
    print(i, flush=True)
print(digest.hex(), open("secret").read())
"""


class Failed(Exception):
    pass


def processes(mark):
    """Processes that have it in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found


def sleepers(mark):
    """How many of them are asleep for good, and not about to become others."""
    count = 0
    for pid in processes(mark):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                count += file.read() == "sleep\n"
        except OSError:
            continue
    return count


class Bar:
    def __init__(self, program, root):
        self.program = program
        self.root = root
        self.as_root = os.geteuid() == 0
        self.checks = 0

    def folder(self, name, user):
        path = os.path.join(self.root, name)
        os.makedirs(path, exist_ok=True)
        if self.as_root:
            os.chown(path, user, user)
        os.chmod(path, 0o755 if user == USER else 0o700)
        return path

    def start(self, name, level, argv, user=USER, **limits):
        path = self.folder(name, user)
        mark = f"SHOAL_BAR={os.getpid()}-{name}"
        words = [self.program, "--dir", path, "--level", level, "--env", mark,
                 "--run", str(limits.pop("run", 20000))]
        if self.as_root:
            words += ["--user", str(user)]
        for key, value in limits.items():
            words += [f"--{key}", str(value)]
        child = subprocess.Popen(words + ["--"] + argv, stdout=subprocess.PIPE, text=True)
        return child, mark

    def finish(self, started):
        child, mark = started
        try:
            out, _ = child.communicate(timeout=LIMIT_S + 15)
        except subprocess.TimeoutExpired:
            child.kill()
            raise Failed(f"{mark}: no end after {LIMIT_S + 15} s") from None
        result = json.loads(out.splitlines()[-1])
        left = processes(mark)
        if left:
            raise Failed(f"{mark}: {len(left)} processes are left")
        return result, out

    def check(self, truth, what):
        self.checks += 1
        if not truth:
            raise Failed(what)

    def expect(self, name, level, argv, causes, **limits):
        result, out = self.finish(self.start(f"{level}-{name}", level, argv, **limits))
        print(f"  {level:7} {name:12} {result['cause']:8} {result['wall_us'] / 1e6:5.1f} s  "
              f"{result['text']}", flush=True)
        self.check(result["cause"] in causes, f"{level} {name}: {result}")
        return out


def harm(bar, level, gives, other_dir, other_pid, port, address):
    """Everything at one level; the other job runs meanwhile."""
    small = {"tasks": 200, "memory": 512 * MIB}
    # As a user of its own the kernel refuses the 201st: it may also just run into its time limit.
    bar.expect("forks", level, ["/bin/sh", "-c", FORKS], ("tasks", "timeout", "exit", "ok"),
               run=3000, **small)
    # Elsewhere it is bounded by the kernel, but hunting it down can take longer than EXEC_KILL_US.
    if bar.as_root or level == "strict":
        bar.expect("forks-away", level, ["python3", "-c", FORKS_AWAY], ("tasks", "timeout"),
                   run=3000, tasks=200, memory=4096 * MIB)
    else:
        print(f"  {level:7} forks-away   not claimed without root, and not counted", flush=True)
    bar.expect("memory", level, ["python3", "-c", MEMORY], ("oom",), memory=256 * MIB, data=512 * MIB)
    bar.expect("disk", level, ["/bin/sh", "-c", DISK], ("disk",), disk=256 * MIB)
    bar.expect("one-file", level, ["/bin/sh", "-c", ONE_FILE], ("disk",), file=64 * MIB)
    if gives & TMP:
        out = bar.expect("in-memory", level, ["python3", "-c", IN_MEMORY], ("ok",), tmp=8 * MIB)
        bar.check("FILLED" not in out, f"{level}: {out}")
    if gives & FILES:
        script = READ % {"secret": SECRET, "file": os.path.join(other_dir, "secret")}
        out = bar.expect("read", level, ["python3", "-c", script], ("ok",))
        bar.check("1:nothing" in out and "FOUND" not in out, f"{level}: {out}")
    if gives & NETWORK:
        script = DIAL % {"port": port, "address": address}
        out = bar.expect("dial", level, ["python3", "-c", script], ("ok",))
        bar.check("DIALLED" not in out and len(out.splitlines()) == 5, f"{level}: {out}")
    if gives & SIGNALS:
        out = bar.expect("signal", level, ["/bin/sh", "-c", SIGNAL % other_pid], ("ok",))
        bar.check("1:other 1" in out and "1:keeper" in out, f"{level}: {out}")


def supervisor_dies(bar, level):
    started = bar.start(f"{level}-orphan", level, ["/bin/sh", "-c",
                        "setsid -f sleep 600; setsid sleep 600 & echo up; exec sleep 600"])
    child, mark = started
    line = child.stdout.readline()
    bar.check(line == "1:up\n", f"{level}: {line}")
    # The shell says "up" before those in the background have begun the program they are to be.
    until = time.monotonic() + 10
    while sleepers(mark) < 3 and time.monotonic() < until:
        threading.Event().wait(0.02)
    before = sleepers(mark)
    child.send_signal(signal.SIGKILL)
    child.wait()
    until = time.monotonic() + 10
    while processes(mark) and time.monotonic() < until:
        threading.Event().wait(0.02)
    left = processes(mark)
    print(f"  {level:7} agent killed: {before} processes before, {len(left)} after", flush=True)
    bar.check(before >= 3, f"{level}: {before} processes under the agent, not 3")
    bar.check(not left, f"{level}: {left} survive their agent")


def one_level(bar, level, gives, port, address, arrived):
    other_dir = bar.folder(f"{level}-other", USER + 1)
    with open(os.path.join(other_dir, "secret"), "w", encoding="utf-8") as file:
        file.write(SECRET)
    if bar.as_root:
        os.chown(file.name, USER + 1, USER + 1)
    alone, told = bar.finish(bar.start(f"{level}-other", level, ["python3", "-c", GOOD], USER + 1))
    bar.check(alone["cause"] == "ok", f"{level}: {alone}")
    stop = threading.Event()
    runs = []

    def good():
        while not stop.is_set():
            try:
                runs.append(bar.finish(bar.start(f"{level}-other", level, ["python3", "-c", GOOD],
                                                 USER + 1, env=f"SECRET={SECRET}")))
            except Failed as why:
                runs.append(({"cause": str(why)}, ""))

    beside = threading.Thread(target=good)
    beside.start()
    try:
        until = time.monotonic() + 10
        mark = f"SHOAL_BAR={os.getpid()}-{level}-other"
        while not processes(mark) and time.monotonic() < until:
            stop.wait(0.01)
        others = processes(mark)
        bar.check(others, f"{level}: the other job does not start")
        harm(bar, level, gives, other_dir, others[-1], port, address)
    finally:
        stop.set()
        beside.join()
    for result, out in runs:
        lines = out.splitlines()[:-1]
        bar.check(result["cause"] == "ok" and lines == told.splitlines()[:-1],
                  f"{level}: the other job: {result}")
    bar.check(not arrived, f"{level}: {arrived} arrived")
    print(f"  {level:7} the other job ended well {len(runs)} times meanwhile", flush=True)
    supervisor_dies(bar, level)


def listen(arrived):
    """Somebody to dial, on tcp and udp."""
    for _ in range(64):
        tcp = socket.create_server(("0.0.0.0", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port = tcp.getsockname()[1]
        try:
            udp.bind(("0.0.0.0", port))
            break
        except OSError:
            tcp.close()
            udp.close()
    else:
        raise Failed("no port is free for both tcp and udp")

    def accept():
        while True:
            try:
                arrived.append(tcp.accept()[1])
            except OSError:
                return

    def receive():
        while True:
            try:
                arrived.append(udp.recvfrom(64)[1])
            except OSError:
                return

    for work in (accept, receive):
        threading.Thread(target=work, daemon=True).start()
    # Both are there: or else nobody arriving would mean nothing.
    with socket.create_connection(("127.0.0.1", port)):
        pass
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.sendto(b"x", ("127.0.0.1", port))
    until = time.monotonic() + 10
    while len(arrived) < 2 and time.monotonic() < until:
        threading.Event().wait(0.01)
    if len(arrived) != 2:
        raise Failed("the listener does not hear")
    arrived.clear()
    return port


def own_address():
    """An address of this machine that is not loopback's, else loopback's."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return probe.getsockname()[0]
    except OSError:
        return "127.0.0.1"


def main(program, root):
    bar = Bar(program, root)
    os.chmod(root, 0o755)
    scratch = bar.folder("probe", USER)
    words = [program, "--probe", scratch] + (["--user", str(USER)] if bar.as_root else [])
    machine = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    arrived = []
    port = listen(arrived)
    given = []
    for level in ("strict", "basic"):
        if machine[level] is None:
            print(f"{level}: not given here: {machine['why_' + level]}")
            continue
        names = [name for name, bit in (("files", FILES), ("network", NETWORK), ("signals", SIGNALS),
                                        ("tmp", TMP), ("hidden", HIDDEN)) if machine[level] & bit]
        print(f"{level}: closes {', '.join(names)}", flush=True)
        one_level(bar, level, machine[level], port, own_address(), arrived)
        given.append(level)
    if not machine["cgroup"]:
        print(f"cgroup: not given here: {machine['why_cgroup']}")
    if not given:
        print("this machine gives no sandbox")
        return 77
    print(f"contained at {' and '.join(given)}: {bar.checks} checks")
    return 0


if __name__ == "__main__":
    HERE = os.path.dirname(os.path.abspath(__file__))
    PROGRAM = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else \
        os.path.join(HERE, "..", "..", "..", "build", "release", "tests", "exec_run")
    FOLDER = tempfile.mkdtemp(prefix="shoal-sandbox-")
    try:
        sys.exit(main(PROGRAM, FOLDER))
    except Failed as problem:
        print(f"FAILED: {problem}")
        sys.exit(1)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
