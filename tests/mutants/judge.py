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

# status: None where it was ended here; complained: by the harness' own words, before it ended;
# slowest_s: of its processes, each of which is a test, the one that took most
Run = collections.namedtuple("Run", "status complained complaints cpu_s slowest_s")


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
    """Processor time of processes with what they have waited for, and the most of one alone."""
    ticks = most = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                words = [int(word) for word in stat.read().rpartition(")")[2].split()[11:15]]
            ticks += sum(words)
            most = max(most, words[0] + words[1])
        except OSError:
            pass
    return ticks * TICK_S, most * TICK_S


def end(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def run(command, budget_s, each_s=None, wall_s=WALL_S):
    """Until it ends, a test of it fails, it has used the budget, or one of its tests its own."""
    began, pause, cpu, slowest = time.monotonic(), 0.002, 0.0, 0.0
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
            now, one = cpu_of(pids)
            cpu, slowest = max(cpu, now), max(slowest, one)
            looped = each_s is not None and one >= each_s
            if complained or looped or cpu >= budget_s or time.monotonic() - began > wall_s:
                end(pids)
                os.wait4(child.pid, 0)
                break
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)
        child.returncode = -1 if status is None else status
        err.seek(0)
        return Run(status, complained, err.read().count(b"\n"), cpu, slowest)
