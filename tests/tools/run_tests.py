#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs what build/<preset>/tests.list names: fast entries first, then slow ones, two at a time; last
one by one those that measure.

A line of the list is "fast|plain|slow|alone tst|fuzz|check|sanitized NAME COMMAND...": plain ones are
fast but take long under a sanitizer. A tst program reports its own cases and ends with "N passed, N failed,
N skipped"; the others count as one: exit status 0 passed, 77 skipped. Output of what failed is
printed in full. The last line is the sum.

--sanitized BUILD takes from a second build what looks at memory or threads: its fast test programs
and replays of the fuzz corpora, in place of those of the first build, and its sanitized checks; not
the commands that look at the tree, measure or take their time, nor what is plain. Their names begin
with that of the build.
"""
import argparse
import concurrent.futures
import os
import re
import shlex
import signal
import subprocess
import sys
import time

TALLY = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)
FAST_LIMIT_S = 180
SLOW_LIMIT_S = 900
SLOW = ("slow", "alone")
SANITIZED_SLOWER = 3
TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def entries(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            words = shlex.split(line)
            if words:
                yield words[0], words[1], words[2], words[3:]


def environment_of(build, release, slower):
    """Of a build's tests. Sanitizers end at the first finding; the suppressions are for libraries
    that are built without them."""
    threads = os.path.join(TREE, "tests", "cmake", "tsan.supp")
    return dict(os.environ, SHOAL_BUILD=os.path.abspath(build),
                SHOAL_RELEASE=os.path.abspath(release), TST_SLOWER=str(slower),
                TSAN_OPTIONS=f"suppressions={threads} halt_on_error=1 second_deadlock_stack=1")


def run(entry, environment):
    speed, kind, name, command = entry
    limit = SLOW_LIMIT_S if speed in SLOW else FAST_LIMIT_S
    limit *= int(environment["TST_SLOWER"])
    start = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=environment, text=True,
                          errors="replace", start_new_session=True) as child:
        try:
            output, _ = child.communicate(timeout=limit)
            status = child.returncode
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output, _ = child.communicate()
            output += f"\n{name}: ran past {limit} s\n"
            status = -1
    return name, kind, status, output, time.monotonic() - start


def tally(kind, status, output):
    found = TALLY.findall(output)
    if kind == "tst" or found:
        if not found:
            return 0, 1, 0
        passed, failed, skipped = (int(n) for n in found[-1])
        return passed, max(failed, 0 if status == 0 else 1), skipped
    if status == 77:
        return 0, 0, 1
    return (1, 0, 0) if status == 0 else (0, 1, 0)


def plan(args):
    """What is to run: (entry, environment), in the order of its speed and build."""
    release = args.release or args.build
    for speed, kind, name, command in entries(os.path.join(args.build, "tests.list")):
        instead = args.sanitized and speed == "fast" and kind != "check"
        if args.filter in name and not instead:
            yield (speed, kind, name, command), environment_of(args.build, release, args.slower)
    if not args.sanitized:
        return
    build = os.path.basename(os.path.normpath(args.sanitized))
    for speed, kind, name, command in entries(os.path.join(args.sanitized, "tests.list")):
        if args.filter in name and speed == "fast" and kind != "check":
            yield ((speed, kind, f"{build}:{name}", command),
                   environment_of(args.sanitized, release, SANITIZED_SLOWER))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--release", default="")
    parser.add_argument("--sanitized", default="", help="a second build, for its fast tests only")
    parser.add_argument("--fast", action="store_true", help="leave out what is slow or runs alone")
    parser.add_argument("--slower", type=int, default=1,
                        help="factor of all time limits, for a sanitizer's build")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("filter", nargs="?", default="")
    args = parser.parse_args()
    todo = list(plan(args))
    total = [0, 0, 0]
    failed_names = []
    turns = [(("fast", "plain"), args.jobs), (("slow",), args.jobs), (("alone",), 1)]
    for speeds, jobs in turns[:1] if args.fast else turns:
        chosen = [item for item in todo if item[0][0] in speeds]
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for name, kind, status, output, seconds in pool.map(lambda item: run(*item), chosen):
                counts = tally(kind, status, output)
                total = [a + b for a, b in zip(total, counts)]
                word = "FAIL" if counts[1] else "ok"
                print(f"{word:4} {name:32} {counts[0]:5} passed {counts[2]:3} skipped {seconds:7.1f} s",
                      flush=True)
                for line in output.splitlines():
                    if line.startswith("skip ") or "SKIP" in line:
                        print("     " + line)
                if counts[1]:
                    failed_names.append(name)
                    print(output, flush=True)
    if failed_names:
        print("failed: " + " ".join(failed_names))
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] or total[0] == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
