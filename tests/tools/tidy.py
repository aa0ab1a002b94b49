#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""House rules that no compiler checks. A waiver is a comment "tidy: allow RULE reason" on the line or
the line before; a waiver that suppresses nothing is itself a complaint."""
import os
import re
import subprocess
import sys

LINE_MAX = 100
FUNCTION_MAX = 70
SOURCE_MAX = 800
HEADER_MAX = 300
TOP = {"mesh", "agent", "consensus", "store", "kernels", "tests", "sim", "docs", "CMakeLists.txt",
       "README.md", "CMakePresets.json", "LICENSE"}
BANNED = re.compile(
    r"(?<![\w.>])(strcpy|strcat|sprintf|strtok|rand|srand|gettimeofday|atoi|atol|atof|alloca|setjmp"
    r"|longjmp|sleep|usleep|gets|system)\s*\(")
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
WORDS = re.compile(r"\b(robust|comprehensive|seamless(ly)?|production-ready|enterprise-grade"
                   r"|blazing|cutting-edge|state-of-the-art)\b", re.I)
NAMES = re.compile(r"(^|/)(utils?|manager|common|helpers?|misc)\.[ch]$")
WAIVER = re.compile(r"tidy: allow (\w+) \S+")


def strip(text):
    """Comments and strings blanked, so that code rules see code only."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def functions(code):
    """(first line, lines) of each function body: a '{' in column 0 up to its '}' in column 0."""
    start = None
    for number, line in enumerate(code.splitlines(), 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            yield start, number - start + 1
            start = None


def judge_c(path, text):
    lines = text.splitlines()
    code = strip(text)
    limit = HEADER_MAX if path.endswith((".h", ".cuh")) else SOURCE_MAX
    if len(lines) > limit:
        yield 1, "length", f"{len(lines)} lines, at most {limit}"
    if not lines or "SPDX-License-Identifier: Apache-2.0" not in lines[0]:
        yield 1, "licence", "the first line names the licence (SPDX-License-Identifier: Apache-2.0)"
    for first, count in functions(code):
        if count > FUNCTION_MAX:
            yield first, "function", f"a function of {count} lines, at most {FUNCTION_MAX}"
    for number, line in enumerate(code.splitlines(), 1):
        found = BANNED.search(line)
        if found and not (found.group(1) == "system" and "pkg" in line):
            yield number, "banned", f"{found.group(1)}() is not used here"
        if re.match(r"\s*typedef struct\b", line):
            yield number, "typedef", "structs are not typedef'd"


def judge_text(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > LINE_MAX and path.endswith((".c", ".h", ".cu", ".cuh")):
            yield number, "width", f"{len(line)} columns, at most {LINE_MAX}"
        if line != line.rstrip():
            yield number, "space", "white space at the end of the line"
        if "\t" in line and not path.endswith((".md", ".txt", "Makefile")):
            yield number, "tab", "a tab"
        if MARKS.search(line) and not path.startswith("tests/tools/"):
            yield number, "mark", "an unfinished-work mark"
        if WORDS.search(line) and not path.startswith("tests/tools/"):
            yield number, "word", "a marketing word"
        if path.endswith((".c", ".h", ".cu")) and not line.isascii():
            yield number, "ascii", "a character outside ASCII"


def judge(path, text):
    """Complaints about one file as (line, rule, message), waivers applied."""
    found = list(judge_text(path, text))
    if path.endswith((".c", ".h", ".cu", ".cuh")):
        found += judge_c(path, text)
        if NAMES.search(path):
            found.append((1, "name", "a file is one noun, not a drawer"))
    waivers = {}
    for number, line in enumerate(text.splitlines(), 1):
        for match in WAIVER.finditer(line):
            waivers[(number, match.group(1))] = False
    kept = []
    for number, rule, message in found:
        for at in (number, number - 1):
            if (at, rule) in waivers:
                waivers[(at, rule)] = True
                break
        else:
            kept.append((number, rule, message))
    if not path.startswith("tests/tools/"):
        kept += [(number, "waiver", f"waives {rule}, which is not broken here")
                 for (number, rule), used in waivers.items() if not used]
    return kept


def tracked(root):
    out = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"], check=True,
                         capture_output=True, text=True)
    return [p for p in out.stdout.splitlines() if os.path.isfile(os.path.join(root, p))]


def orphans(root, paths):
    """C sources that no CMakeLists.txt names."""
    named = ""
    for path in paths:
        if os.path.basename(path) == "CMakeLists.txt" or path.endswith(".cmake"):
            with open(os.path.join(root, path), encoding="utf-8") as lists:
                named += lists.read()
    for path in paths:
        if path.endswith((".c", ".cu")) and not path.endswith(".inc.c") and not re.search(r"[\s/]" + re.escape(os.path.basename(path))
                                                          + r"[\s)]", named):
            yield path


def main(root):
    complaints = []
    paths = tracked(root)
    for path in paths:
        if not path.startswith(".") and path.split("/")[0] not in TOP:
            complaints.append(f"{path}: not one of the top-level names")
        if not path.endswith((".c", ".h", ".cu", ".cuh", ".py", ".sh", ".cmake", ".txt", ".md")) \
                or "/corpus/" in path or path.startswith("tests/golden/") and path.endswith(".txt"):
            continue
        with open(os.path.join(root, path), encoding="utf-8") as source:
            text = source.read()
        complaints += [f"{path}:{n}: {rule}: {what}" for n, rule, what in judge(path, text)]
    complaints += [f"{path}: in no CMakeLists.txt" for path in orphans(root, paths)]
    print("\n".join(complaints) if complaints else "the house rules hold")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
