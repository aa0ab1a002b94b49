#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""300 small changes of consensus/, drawn by a seed: an operator, a constant, a condition, a statement
left out. Each is compiled beside the real program and given to the module's unit tests, to etcd's
scripts (raft) and to the simulator, 5 seconds of processor time in all. At least 90 % of the 300 must
be noticed; the others are listed. What does not compile, or compiles to the same object, is no change
and another one is drawn. By hand: 20 minutes or so.

    mutants_300.py [--seed N] [--count N] [--only FOLDER] [--resume FILE [--for SECONDS] [--again]]

--resume keeps the verdicts in a file and takes those that are there, of changes whose source is still
the same; --for ends a part of the work with status 75; --again forgets what was not noticed, so that
it is judged once more: not in the parts that follow."""
import argparse
import collections
import functools
import hashlib
import json
import os
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.join(ROOT, "tests", "mutants"))
import build as program  # noqa: E402
import draw  # noqa: E402
import judge  # noqa: E402

BUDGET_S = float(os.environ.get("BUDGET_S", "5"))
SHARE = 90
UNFINISHED = 75
FOLDERS = ("raft", "jobs", "place", "roles")
# Programs of a folder, quickest first. The simulator has what is left of the budget.
TESTS = {"raft": ("test_raft_codec", "etcd_scripts", "test_raft", "test_raft_chaos"),
         "jobs": ("jobs_scripts", "test_jobs", "test_jobs_storm"),
         "place": ("test_place",),
         "roles": ("roles_scripts", "test_roles", "test_roles_churn")}
SIM = ("chaos", "--seed", "1", "--for", "600", "--stop", "--quiet")


def folder_of(source):
    return source.split("/")[1]


def texts_of(only):
    texts = {}
    for folder in FOLDERS:
        path = os.path.join(ROOT, "consensus", folder)
        for name in sorted(os.listdir(path)):
            if name.endswith(".c") and only in (None, folder):
                with open(os.path.join(path, name), encoding="utf-8") as source:
                    texts[f"consensus/{folder}/{name}"] = source.read()
    return texts


class Bench:
    """Compiles, links and judges changes against one build."""

    def __init__(self, build, texts, place):
        self.build, self.texts, self.place = build, texts, place

    def compile(self, source, text):
        """(object, digest of it without names of what is compiled); None where it does not compile."""
        built = program.compile_changed(self.build, source, text, self.place, ("-g0",))
        if built is None:
            return None, None
        with open(built, "rb") as code:
            return built, hashlib.sha256(code.read()).hexdigest()

    @functools.cache
    def digest_unchanged(self, source):
        return self.compile(source, self.texts[source])[1]

    @functools.cache
    def arguments(self, name):
        """What the program is called with where it is listed as a test."""
        if name == "etcd_scripts":
            shared = os.environ.get("SHOAL_SHARED", os.path.join(ROOT, "..", "shared"))
            oracle = os.path.join(shared, "oracles", "etcd-raft")
            return [os.path.join(oracle, part) for part in ("quorum", "confchange", "interaction")]
        with open(os.path.join(self.build, "tests.list"), encoding="utf-8") as listed:
            for line in listed:
                words = line.split()
                if len(words) > 3 and words[3].endswith("/tests/" + name):
                    return words[4:]
        return []

    @functools.cache
    def usual(self, name):
        """The run of a test program without a change. Two of etcd's directives are argued deviations,
        so what must not change is the status and the number of complaints."""
        done = judge.run([os.path.join(self.build, "tests", name), *self.arguments(name)], 600)
        if done.status != 0 and name != "etcd_scripts":
            raise SystemExit(f"{name} fails without a change")
        return done

    def link(self, target, changed):
        """A program of the build with the changed object; what compiles links."""
        out = os.path.join(self.place, "program")
        if not program.link(self.build, target, [changed], out):
            raise SystemExit(f"{target} does not link: is the build whole, and at rest?")
        return out

    def noticed(self, source, changed):
        """(name of what noticed it or None, processor time of the tests)."""
        left = BUDGET_S
        for name in TESTS[folder_of(source)]:
            out = self.link("tests/" + name, changed)
            usual = self.usual(name)
            # A test that loops is ended by its time limit; here, by what the slowest usually takes.
            patience = 10 * usual.slowest_s + 1
            done = judge.run([out, *self.arguments(name)], left, patience)
            left -= done.cpu_s
            if done.complained:
                return name, BUDGET_S - left
            if done.status is None and done.slowest_s >= patience:
                return name + " (loops)", BUDGET_S - left
            if done.status is not None and (done.status, done.complaints) != \
                    (usual.status, usual.complaints):
                return name, BUDGET_S - left
            if left <= 0:
                return None, BUDGET_S - left
        done = judge.run([self.link("bin/shoal-sim", changed), *SIM], left)
        return "sim" if done.status not in (None, 0) else None, BUDGET_S - left + done.cpu_s

    def verdict(self, change):
        """What became of a change: "broken", "equal", the name of what noticed it, or None."""
        text = draw.changed(self.texts[change.source], change)
        before = self.digest_unchanged(change.source)
        changed, digest = self.compile(change.source, text)
        if changed is None:
            return "broken", 0.0
        if digest == before:
            return "equal", 0.0
        return self.noticed(change.source, changed)


class Verdicts:
    """Kept in a file, if there is one."""

    def __init__(self, path, again):
        self.path, self.known = path, {}
        if path is not None and os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                for row in map(json.loads, lines):
                    self.known[row["key"]] = row
        if again:
            self.known = {k: row for k, row in self.known.items() if row["by"] is not None}
            with open(path, "w", encoding="utf-8") as out:
                out.writelines(json.dumps(row) + "\n" for row in self.known.values())

    @staticmethod
    def key(text, change):
        whole = change.source + "\n" + draw.changed(text, change)
        return hashlib.sha256(whole.encode()).hexdigest()

    def note(self, key, change, by, cpu_s):
        self.known[key] = {"key": key, "source": change.source, "line": change.number + 1,
                           "what": change.what, "was": change.was.strip(), "now": change.line.strip(),
                           "by": by, "cpu_s": round(cpu_s, 2)}
        if self.path is not None:
            with open(self.path, "a", encoding="utf-8") as out:
                out.write(json.dumps(self.known[key]) + "\n")
        return self.known[key]


def report(rows, count):
    counts = collections.Counter(row["by"] for row in rows)
    broken, equal, survive = counts.pop("broken", 0), counts.pop("equal", 0), counts.pop(None, 0)
    killed = sum(counts.values())
    for row in rows:
        if row["by"] is None:
            print(f"survives {row['source']}:{row['line']}: {row['what']}: {row['was']}")
    print("noticed by", ", ".join(f"{k} {v}" for k, v in counts.most_common()))
    print(f"{equal} are no change of the code, {broken} do not compile")
    share = killed * 100 / max(killed + survive, 1)
    print(f"{killed} of {killed + survive} killed, {share:.1f} %")
    return share >= SHARE and killed + survive == count


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--count", type=int, default=300)
    arguments.add_argument("--only", choices=FOLDERS)
    arguments.add_argument("--resume", metavar="FILE")
    arguments.add_argument("--for", type=float, dest="seconds", metavar="SECONDS")
    arguments.add_argument("--again", action="store_true")
    options = arguments.parse_args()
    if options.again and options.resume is None:
        arguments.error("--again needs --resume")
    build = os.environ.get("SHOAL_RELEASE", os.path.join(ROOT, "build", "release"))
    texts = texts_of(options.only)
    verdicts = Verdicts(options.resume, options.again)
    rows, counted, began = [], 0, time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(build, texts, place)
        for change in draw.order(options.seed, texts):
            if counted == options.count:
                break
            key = Verdicts.key(texts[change.source], change)
            row = verdicts.known.get(key)
            if row is None:
                if options.seconds is not None and time.monotonic() - began > options.seconds:
                    report(rows, options.count)
                    return UNFINISHED
                row = verdicts.note(key, change, *bench.verdict(change))
                if row["by"] not in ("equal", "broken"):
                    print(f"{counted + 1}/{options.count} {row['source']}:{row['line']}: {row['what']}: "
                          f"{row['by'] or 'SURVIVES'}, {row['cpu_s']} s", flush=True)
            rows.append(row)
            counted += row["by"] not in ("equal", "broken")
    return 0 if report(rows, options.count) else 1


if __name__ == "__main__":
    sys.exit(main())
