#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps README.md and docs/ true where that is cheap: links, commands, limits, invariants,
names of functions, bars."""
import os
import re
import sys

FENCE = re.compile(r"^```.*?^```", re.M | re.S)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.M)
DEFINE = re.compile(r"^#\s*define[ \t]+(\w+)[ \t]+((?:\\\n|[^\n])+)", re.M)
PLACE = re.compile(r"`([\w./-]+\.[ch]):(\w+)`")
SPOKEN = re.compile(r"`([a-z]\w*_\w+|[A-Z][A-Z0-9]*_[A-Z0-9_]+)`")
NAMING = re.compile(r"docs/(ARCHITECTURE|PROTOCOL|INVARIANTS|decisions/\d{4}-.*)\.md$")
VERB = re.compile(r'^    \{"([a-z]+(?: [a-z]+)?)", "', re.M)
WORD = re.compile(r"^[a-z]+$")
NAME = re.compile(r"\b[A-Z][A-Z0-9_]+\b")
SUBSTITUTIONS_MAX = 64


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def pages(root):
    found = ["README.md"]
    for folder, _, names in os.walk(os.path.join(root, "docs")):
        found += [os.path.relpath(os.path.join(folder, n), root) for n in sorted(names)
                  if n.endswith(".md")]
    return found


def anchors(text):
    """The fragments that headings of a page make."""
    for title in HEADING.findall(FENCE.sub("", text)):
        yield re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).replace(" ", "-")


def bad_links(root, path, text):
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, fragment = target.partition("#")
        place = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
        if not os.path.exists(os.path.join(root, place)):
            yield f"{path}: the link {target} leads nowhere"
        elif fragment and fragment not in anchors(read(root, place)):
            yield f"{path}: {place} has no heading #{fragment}"


def number(text):
    """Value of a constant expression of a header, or None: digits, suffixes, + - * / << ( )."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).replace("\\\n", " ")
    text = re.sub(r"U?INT\d+_C\(([^()]*)\)|\((?:u?int\d+_t|size_t)\)", r"\1", text)
    text = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]*\b", r"\1", text).strip()
    if not re.fullmatch(r"[0-9a-fA-Fx()+\-*/<\s]+", text) or "**" in text:
        return None
    try:
        return int(eval(text.replace("/", "//"), {"__builtins__": {}}))  # digits and operators only
    except (SyntaxError, ZeroDivisionError, NameError, TypeError):
        return None


def defines(text):
    return {name: body for name, body in DEFINE.findall(text)}


def value_of(name, known):
    """Value of a name among all defines, names inside it replaced by theirs."""
    text = name
    for _ in range(SUBSTITUTIONS_MAX):
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
        inner = next((w for w in NAME.findall(text) if w in known), None)
        if inner is None:
            return number(text)
        text = re.sub(rf"\b{inner}\b", lambda _, body=known[inner]: f"({body})", text)
    return None


def headers(root):
    for top in ("mesh", "consensus", "store", "kernels", "agent", "sim"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith(".h"):
                    yield os.path.relpath(os.path.join(folder, name), root)


def bad_limits(root, text):
    """Rows "| `NAME` | VALUE | unit | `header.h` | ..." of LIMITS.md against the headers."""
    per_file = {path: defines(read(root, path)) for path in headers(root)}
    known = {}
    for names in per_file.values():
        known.update(names)
    listed = 0
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if not line.startswith("| `") or len(cells) < 4:
            continue
        name, value, where = cells[0].strip("`"), cells[1].replace(",", ""), cells[3].strip("`")
        listed += 1
        if name not in per_file.get(where, {}):
            yield f"docs/LIMITS.md: {where} does not define {name}"
        elif not value.isdigit() or value_of(name, known) != int(value):
            yield f"docs/LIMITS.md: {name} is {value_of(name, known)}, not {value}"
    if listed == 0:
        yield "docs/LIMITS.md: lists no limit"


def bad_places(root, path, text):
    """`file.c:function` must be a definition in that file."""
    for file, function in PLACE.findall(text):
        if not os.path.exists(os.path.join(root, file)):
            yield f"{path}: there is no {file}"
        elif not re.search(rf"^(?:\w[^\n;]*[ *])?{function}\((?:[^;{{]|\n)*?\)\n?\s*\{{|"
                           rf"^TEST\w*\({function}\b|^#define {function}\b",
                           read(root, file), re.M):
            yield f"{path}: {file} does not define {function}"


def source_words(root):
    """Every identifier of the program's sources."""
    found = set()
    for top in ("mesh", "consensus", "store", "kernels", "agent", "sim", "tests"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith((".c", ".h", ".py", ".txt", ".cmake", ".yaml")):
                    found.update(re.findall(r"\w+", read(folder, name)))
    return found


def bad_names(path, text, words):
    """`a_name` in running text must be a name of the sources."""
    for name in sorted(set(SPOKEN.findall(FENCE.sub("", text)))):
        if name not in words:
            yield f"{path}: no source knows {name}"


def bad_bars(root, text):
    folder = os.path.join(root, "tests", "bars")
    for where, _, names in os.walk(folder):
        for name in sorted(names):
            bar = os.path.relpath(os.path.join(where, name), folder)
            runs = name.endswith(".sh") or name.endswith(".py") and "__main__" in read(where, name)
            if runs and f"| [{bar}](" not in text:
                yield f"docs/TESTING.md: its table of bars lacks {bar}"


def bad_commands(root, path, text, verbs):
    """Lines of indented or fenced code that begin with shoal, sh or build/: do they exist?"""
    for line in text.splitlines():
        words = line.strip().split()
        if not re.match(r"( {4}|\$ )", line) or len(words) < 2:
            continue
        if words[0] == "sh" and not os.path.exists(os.path.join(root, words[1])):
            yield f"{path}: there is no {words[1]}"
        if words[0] == "shoal" and WORD.match(words[1]):
            two = " ".join(words[1:3])
            if words[1] not in verbs and two not in verbs:
                yield f"{path}: shoal has no verb {words[1]}"
            yield from bad_flags(root, path, words)


def bad_flags(root, path, words):
    told = read(root, "agent/cli/verbs.c") + read(root, "agent/cli/parse.c")
    for word in words:
        if re.fullmatch(r"--[a-z-]+", word) and f'"{word}"' not in told:
            yield f"{path}: no verb takes {word}"


def judge(root):
    complaints = []
    verbs = set(VERB.findall(read(root, "agent/cli/verbs.c")))
    words = source_words(root)
    for path in pages(root):
        text = read(root, path)
        if NAMING.match(path):
            complaints += bad_names(path, text, words)
        complaints += bad_links(root, path, text)
        complaints += bad_places(root, path, text)
        complaints += bad_commands(root, path, text, verbs)
    complaints += bad_bars(root, read(root, "docs/TESTING.md"))
    complaints += bad_limits(root, read(root, "docs/LIMITS.md"))
    return complaints


def main(root):
    complaints = judge(root)
    print("\n".join(complaints) if complaints else "the pages agree with the tree")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
