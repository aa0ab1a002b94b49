#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a program on a budget of processor time, so that a busy machine changes no verdict."""
import collections
import os
import signal
import subprocess
import tempfile
import time

WALL_S = 120  # against a program that waits for something; none of these does
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

# status: None where it was ended here; complained: by the harness' own words, before it ended
Run = collections.namedtuple("Run", "status complained complaints cpu_s")


def family(pid):
    """The process and its descendants: tests run in processes, and groups, of their own."""
    found = [pid]
    for one in found:
        try:
            with open(f"/proc/{one}/task/{one}/children", encoding="ascii") as children:
                found += [int(word) for word in children.read().split()]
        except OSError:
            pass  # it has just ended
    return found


def cpu_of(pids):
    """Processor time of processes and of what they have waited for."""
    ticks = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                words = stat.read().rpartition(")")[2].split()
            ticks += sum(int(word) for word in words[11:15])
        except OSError:
            pass
    return ticks * TICK_S


def end(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def run(command, budget_s, wall_s=WALL_S):
    """Until it ends, a test of it fails, or it has used the budget."""
    began, pause, cpu = time.monotonic(), 0.002, 0.0
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        # Waited for here, with what it used.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL,  # pylint: disable=consider-using-with
                                 stdout=out, stderr=err)
        status = None
        while status is None:
            pid, code, usage = os.wait4(child.pid, os.WNOHANG)
            said = os.pread(out.fileno(), os.fstat(out.fileno()).st_size, 0)
            complained = said.startswith(b"not ok ") or b"\nnot ok " in said
            if pid != 0:
                status = os.waitstatus_to_exitcode(code)
                cpu = usage.ru_utime + usage.ru_stime
                break
            pids = family(child.pid)
            cpu = max(cpu, cpu_of(pids))
            if complained or cpu >= budget_s or time.monotonic() - began > wall_s:
                end(pids)
                os.wait4(child.pid, 0)
                break
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)
        child.returncode = -1 if status is None else status
        err.seek(0)
        return Run(status, complained, err.read().count(b"\n"), cpu)
