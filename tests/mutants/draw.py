#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every small change of a C source, and an order of them that a seed gives.

A change is one token or one statement of one line inside a function. Left out are names (declarations,
labels, designated initialisers), what the preprocessor reads, and assertions: weakening one changes
nothing that a program without defects does. The place of a change in the order comes from its own
text, so that work on another source moves nothing."""
import collections
import hashlib
import re

OPERATORS = (("<=", "<"), (">=", ">"), (" < ", " <= "), (" > ", " >= "), ("==", "!="), ("!=", "=="),
             ("&&", "||"), ("||", "&&"), (" + ", " - "), (" - ", " + "), ("++", "--"))
NO_CODE = ("//", "*", "raft_tell", ".", "#", "case ", "default:")

Change = collections.namedtuple("Change", "source number was line what")


def code_lines(text):
    """(number, line) of lines inside functions, without comments, assertions and names."""
    comment = assertion = False
    for number, line in enumerate(text.split("\n")):
        bare = line.strip()
        if comment or bare.startswith("/*"):
            comment = "*/" not in bare
            continue
        code = line.split("/*")[0].rstrip()
        if assertion or bare.startswith("SH_CHECK"):
            assertion = not code.endswith(";")
            continue
        if line.startswith("    ") and bare and not bare.startswith(NO_CODE):
            yield number, code


def changes_of(source, text):
    for number, line in code_lines(text):
        def change(new, what):
            return Change(source, number, line, new, what)  # pylint: disable=cell-var-from-loop
        for old, new in OPERATORS:
            for m in re.finditer(re.escape(old), line):
                yield change(line[:m.start()] + new + line[m.end():], f"{old.strip()} to {new.strip()}")
        for m in re.finditer(r"(?<![\w.])(\d+)(?![\w.])", line):
            yield change(line[:m.start(1)] + str(int(m.group(1)) + 1) + line[m.end(1):], "constant + 1")
        m = re.match(r"(\s*(?:\} else )?if \()(.*)(\) \{)$", line)
        if m:
            yield change(m.group(1) + "!(" + m.group(2) + ")" + m.group(3), "condition reversed")
        if re.match(r"\s+[\w>.\[\]-]+(\(.*\)| [-+|&]?= .*|\+\+|--);$", line) and "return" not in line:
            if not re.match(r"\s+(const |struct |enum |bool |u?int\d*_t |size_t |char )", line):
                yield change(re.match(r"\s*", line).group(0) + ";", "statement left out")


def changed(text, change):
    lines = text.split("\n")
    lines[change.number] = change.line
    return "\n".join(lines)


def order(seed, texts):
    """All changes of the sources {path: text}, in the order of the seed."""
    ranked = []
    for source, text in texts.items():
        met = collections.Counter()
        for c in changes_of(source, text):
            words = "|".join((source, c.was.strip(), c.line.strip(), c.what))
            met[words] += 1  # equal ones are told apart by their number
            rank = hashlib.sha256(f"{seed}|{words}|{met[words]}".encode()).digest()
            ranked.append((rank, c))
    return [c for _, c in sorted(ranked)]
