#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds a program of this project with one source changed, beside the real one.

    build.py BUILD PATCH OUT [TARGET]     TARGET: bin/shoal-sim unless given

The patched copy is compiled as the original is, and linked before the archives: what it defines is
then not taken from them. Nothing in the tree or the build changes."""
import functools
import os
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@functools.cache
def last_command(build, target):
    out = subprocess.run(["ninja", "-C", build, "-t", "commands", target], check=True,
                         capture_output=True, text=True).stdout
    return out.strip().splitlines()[-1]


@functools.cache
def object_of(source):
    folder, name = os.path.split(source)
    listed = open(os.path.join(ROOT, folder, "CMakeLists.txt"), encoding="utf-8").read()
    for module, body in re.findall(r"shoal_module\((\w+)([^)]*)\)", listed):
        if re.search(r"(?<![\w/])" + re.escape(name) + r"(?!\w)", body):
            return f"{folder}/CMakeFiles/shoal_{module}.dir/{name}.o"
    raise SystemExit(f"{source} belongs to no module")


def compile_changed(build, source, text, folder, more=()):
    """The object of a source with another text; None when it does not compile. More flags go last."""
    path = os.path.join(folder, os.path.basename(source))
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    words = shlex.split(last_command(build, object_of(source)))
    words = words[words.index(next(w for w in words if w.endswith(("gcc", "clang", "cc")))):]
    result = path + ".o"
    kept = []
    skip = False
    for word in words:
        if skip or word in ("-MD", "-Werror"):
            skip = False
        elif word in ("-MF", "-MT", "-o"):
            skip = True
        else:
            kept.append(path if word.endswith("/" + source) else word)
    kept += ["-I" + os.path.dirname(os.path.join(ROOT, source)), "-w", *more, "-o", result]
    done = subprocess.run(kept, cwd=build, capture_output=True, text=True, check=False)
    return result if done.returncode == 0 else None


def link(build, target, objects, out):
    """The program with these objects in front of the archives; False when it does not link."""
    command = last_command(build, target)
    words = shlex.split(command.replace(": && ", "").replace(" && :", ""))
    at = words.index("-o")
    words[at + 1] = os.path.abspath(out)
    words[at + 2:at + 2] = []
    first = next(i for i, w in enumerate(words) if w.endswith(".a"))
    words[first:first] = [os.path.abspath(o) for o in objects]
    return subprocess.run(words, cwd=build, capture_output=True, check=False).returncode == 0


def patched(patch):
    """(source, text) of a patch against one file of the tree."""
    with open(patch, encoding="utf-8") as diff:
        source = re.search(r"^\+\+\+ b/(\S+)", diff.read(), re.M).group(1)
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy.c")
        subprocess.run(["patch", "-s", "-o", copy, os.path.join(ROOT, source), patch], check=True)
        with open(copy, encoding="utf-8") as text:
            return source, text.read()


def main():
    if len(sys.argv) not in (4, 5):
        raise SystemExit(__doc__)
    build, patch, out = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
    target = sys.argv[4] if len(sys.argv) == 5 else "bin/shoal-sim"
    source, text = patched(patch)
    with tempfile.TemporaryDirectory() as folder:
        changed = compile_changed(build, source, text, folder)
        if changed is None or not link(build, target, [changed], out):
            raise SystemExit(f"{patch}: does not build")


if __name__ == "__main__":
    main()
