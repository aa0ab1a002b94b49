#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""300 small changes of consensus/, drawn by a seed: an operator, a constant, a condition, a statement
left out. Each is compiled beside the real program and given to the module's unit tests, to etcd's
scripts (raft) and to the simulator, 5 seconds in all. At least 90 % of those that compile to other
code must be noticed; the others are listed. By hand.

    mutants_300.py [--seed N] [--count N] [--only FOLDER]"""
import argparse
import functools
import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.join(ROOT, "tests", "mutants"))
import build as program  # noqa: E402

BUDGET_S = float(os.environ.get("BUDGET_S", "5"))
FOLDERS = ("raft", "jobs", "place", "roles")
# Programs of a folder, quickest first, with their arguments; the simulator is last everywhere.
TESTS = {"raft": ("test_raft_codec", "test_raft", "etcd_scripts", "test_raft_chaos"),
         "jobs": ("jobs_scripts", "test_jobs", "test_jobs_storm"),
         "place": ("test_place",),
         "roles": ("roles_scripts", "test_roles")}
OPERATORS = (("<=", "<"), (">=", ">"), (" < ", " <= "), (" > ", " >= "), ("==", "!="), ("!=", "=="),
             ("&&", "||"), ("||", "&&"), (" + ", " - "), (" - ", " + "), ("++", "--"))


def code_lines(text):
    """(number, line) of lines inside functions, without comments and declarations of names."""
    comment = False
    for number, line in enumerate(text.split("\n")):
        bare = line.strip()
        if comment or bare.startswith("/*"):
            comment = "*/" not in bare
            continue
        if line.startswith("    ") and bare and not bare.startswith(("//", "*", "SH_CHECK", "raft_tell",
                                                                     ".", "#", "case ", "default:")):
            yield number, line.split("/*")[0].rstrip()


def changes_of(text):
    """Every change of one source: (line number, new line, what)."""
    for number, line in code_lines(text):
        for old, new in OPERATORS:
            for at in (m.start() for m in re.finditer(re.escape(old), line)):
                if old in ("<=", ">=") or line[at - 1:at + 3] not in ("->", "<<", ">>"):
                    yield number, line[:at] + new + line[at + len(old):], f"{old.strip()} to {new.strip()}"
        for m in re.finditer(r"(?<![\w.])(\d+)(?![\w.])", line):
            yield number, line[:m.start(1)] + str(int(m.group(1)) + 1) + line[m.end(1):], "constant + 1"
        m = re.match(r"(\s*(?:\} else )?if \()(.*)(\) \{)$", line)
        if m:
            yield number, m.group(1) + "!(" + m.group(2) + ")" + m.group(3), "condition reversed"
        if re.match(r"\s+[\w>.\[\]-]+(\(.*\)| [-+|&]?= .*|\+\+|--);$", line) and "return" not in line:
            if not re.match(r"\s+(const |struct |enum |bool |u?int\d*_t |size_t |char )", line):
                yield number, re.match(r"\s*", line).group(0) + ";", "statement left out"


def sources():
    for folder in FOLDERS:
        path = os.path.join(ROOT, "consensus", folder)
        for name in sorted(os.listdir(path)):
            if name.endswith(".c"):
                yield folder, f"consensus/{folder}/{name}"


def draw(seed, count, only):
    every = []
    for folder, source in sources():
        if only in (None, folder):
            with open(os.path.join(ROOT, source), encoding="utf-8") as f:
                text = f.read()
            every += [(folder, source, text, *c) for c in changes_of(text)]
    random.Random(seed).shuffle(every)
    return every[:count]


def digest(path):
    code = subprocess.run(["objdump", "-d", "-j", ".text", path], capture_output=True, check=False)
    return hashlib.sha256(code.stdout.split(b"\n", 3)[-1]).hexdigest()


def arguments_of(build, name):
    """What the program is called with where it is listed as a test; None: it is not built."""
    if not os.path.exists(os.path.join(build, "tests", name)):
        return None
    if name == "etcd_scripts":
        shared = os.environ.get("SHOAL_SHARED", os.path.join(ROOT, "..", "shared"))
        oracle = os.path.join(shared, "oracles", "etcd-raft")
        words = [os.path.join(oracle, part) for part in ("quorum", "confchange", "interaction")]
        return words if os.path.isdir(oracle) else None
    with open(os.path.join(build, "tests.list"), encoding="utf-8") as listed:
        for line in listed:
            words = line.split()
            if len(words) > 3 and words[3].endswith("/tests/" + name):
                return words[4:]
    return []


@functools.cache
def usual_of(build, name, words):
    command = [os.path.join(build, "tests", name), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.count("\n")


def usual(build, name, words):
    """Exit status and length of the complaint without a change: two of etcd's directives are argued
    deviations."""
    return usual_of(build, name, tuple(words)) if name == "etcd_scripts" else (0, None)


def noticed(build, folder, changed, place, end):
    """Name of what failed, or None."""
    out = os.path.join(place, "program")
    for name in TESTS[folder]:
        words = arguments_of(build, name)
        if words is None or time.monotonic() > end or not program.link(build, "tests/" + name,
                                                                       [changed], out):
            continue
        try:
            done = subprocess.run([out, *words], capture_output=True, text=True, check=False,
                                  errors="replace", timeout=max(end - time.monotonic(), 0.5))
        except subprocess.TimeoutExpired:
            continue
        status, complaints = usual(build, name, words)
        if done.returncode != status or complaints not in (None, done.stderr.count("\n")):
            return name
    if not program.link(build, "bin/shoal-sim", [changed], out):
        return "link"
    seconds = max(1, int(end - time.monotonic() + 0.5))
    try:
        done = subprocess.run([out, "chaos", "--seed", "1", "--for", str(seconds), "--stop", "--quiet"],
                              capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return "sim hangs"
    return None if done.returncode == 0 else "sim"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--count", type=int, default=300)
    arguments.add_argument("--only", choices=FOLDERS)
    options = arguments.parse_args()
    build = os.environ.get("SHOAL_RELEASE", os.path.join(ROOT, "build", "release"))
    killed, survivors, equal, broken = {}, [], 0, 0
    for folder, source, text, number, line, what in draw(options.seed, options.count, options.only):
        lines = text.split("\n")
        was, lines[number] = lines[number], line
        with tempfile.TemporaryDirectory() as place:
            same = program.compile_changed(build, source, text, place)
            before = digest(same)
            changed = program.compile_changed(build, source, "\n".join(lines), place)
            if changed is None:
                broken += 1
                continue
            if digest(changed) == before:
                equal += 1
                continue
            by = noticed(build, folder, changed, place, time.monotonic() + BUDGET_S)
        if by is None:
            survivors.append(f"{source}:{number + 1}: {what}: {was.strip()}")
            print("survives", survivors[-1], flush=True)
        else:
            killed[by] = killed.get(by, 0) + 1
    total = sum(killed.values()) + len(survivors)
    print("killed by", ", ".join(f"{k} {v}" for k, v in sorted(killed.items(), key=lambda x: -x[1])))
    print(f"{equal} are no change of the code, {broken} do not compile")
    share = sum(killed.values()) * 100 / max(total, 1)
    print(f"{sum(killed.values())} of {total} killed, {share:.1f} %")
    return 0 if share >= 90 else 1


if __name__ == "__main__":
    sys.exit(main())
