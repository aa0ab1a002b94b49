#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""jepsen.py SHARED OUT: rewrites the histories of other projects' checkers (SHARED/oracles/porcupine
and SHARED/oracles/knossos) in shoal's format, one file each in OUT, and prints "VERDICT FILE" for
each: what its owners say of it, OK or ILLEGAL.

In porcupine's etcd logs a cas that failed is an answer: the value was another. In knossos's histories
whatever failed did not happen, and a read of nil says nothing.
"""
import os
import re
import sys

TOKEN = re.compile(r'[\s,]+|;[^\n]*|("(?:\\.|[^"\\])*")|([\[\](){}])|([^\s,\[\](){}";]+)')
CLOSE = {"[": "]", "(": ")", "{": "}"}


def atom(text):
    if text == "nil":
        return None
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def edn(text):
    """All values of an EDN text: maps as dicts, vectors and lists as lists, keywords as ':name'."""
    stack = [("", [])]
    for found in TOKEN.finditer(text):
        string, bracket, word = found.groups()
        if string is not None:
            stack[-1][1].append(string[1:-1].replace('\\"', '"').replace("\\\\", "\\"))
        elif word is not None:
            stack[-1][1].append(atom(word))
        elif bracket in CLOSE:
            stack.append((CLOSE[bracket], []))
        elif bracket is not None:
            closes, values = stack.pop()
            if closes != bracket:
                raise ValueError(f"{bracket} where {closes} belongs")
            if bracket == "}":
                values = dict(zip(values[::2], values[1::2]))
            stack[-1][1].append(values)
    if len(stack) != 1:
        raise ValueError("a bracket is not closed")
    return stack[0][1]


def events_of_edn(text):
    """(process, type, f, key, value) of each event of a history in EDN."""
    values = edn(text)
    if len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    for op in values:
        if isinstance(op[":process"], int):
            yield op[":process"], op[":type"], op[":f"], op.get(":key"), op.get(":value")


def events_of_log(text):
    for line in text.splitlines():
        words = re.fullmatch(r"INFO +jepsen\.util - (\d+)\s+(:\S+)\s+(:\S+)\s+(.*)", line)
        if words:
            process, kind, f, value = words.groups()
            yield int(process), kind, f, None, edn(value)[0]


def word(value):
    return "nil" if value is None else str(value)


class Writer:
    """Pairs events into calls; times are positions in the history."""

    def __init__(self, model, init, call_text, failed):
        self.lines = ["history 1", f"model {model}"] + ([f"init {init}"] if init else [])
        self.call_text = call_text  # (f, asked, answered, open) -> text, None: leave out
        self.failed = failed        # (f, asked) -> text of a call that failed, None: leave out
        self.pending = {}

    def add(self, done, process, text, begun, key):
        if text is not None:
            end = "-" if done is None else done
            self.lines.append(f"{begun} {end} {process} {word(key).replace(' ', '_') or '-'} {text}")

    def feed(self, events):
        for at, (process, kind, f, key, value) in enumerate(events):
            if kind == ":invoke":
                self.pending[process] = (at, f, key, value)
                continue
            begun, f, key, asked = self.pending.pop(process)
            if kind == ":ok":
                self.add(at, process, self.call_text(f, asked, value, False), begun, key)
            elif kind == ":fail":
                self.add(at, process, self.failed(f, asked), begun, key)
            else:
                self.add(None, process, self.call_text(f, asked, None, True), begun, key)
        for process, (begun, f, key, asked) in self.pending.items():
            self.add(None, process, self.call_text(f, asked, None, True), begun, key)
        return "\n".join(self.lines) + "\n"


def register_call(nil_says_nothing):
    def text(f, asked, value, is_open):
        if f == ":read":
            silent = is_open or value is None and nil_says_nothing
            return None if silent else f"read = {word(value)}"
        if f == ":write":
            return f"write {word(asked)}"
        return f"cas {word(asked[0])} {word(asked[1])}" + ("" if is_open else " = yes")
    return text


def text_call(f, asked, value, is_open):
    if f == ":get" and is_open:
        return None
    clean = str(value if f == ":get" else asked).replace(" ", "_")
    return f"get = '{clean}" if f == ":get" else f"{f[1:]} '{clean}"


def txn_call(f, asked, value, is_open):
    parts = []
    for kind, name, number in (asked if is_open else value):
        known = "" if number is None else number
        parts.append(f"{name[1:]}={number}" if kind == ":write" else f"{name[1:]}?{known}")
    return "txn " + " ".join(parts)


def never(f, asked):
    return None


def mutex_call(f, asked, value, is_open):
    return f[1:]


def refused_cas(f, asked):
    return f"cas {word(asked[0])} {word(asked[1])} = no" if f == ":cas" else None


def histories(shared):
    """(name, verdict, text in shoal's format)."""
    porcupine = os.path.join(shared, "oracles", "porcupine")
    with open(os.path.join(porcupine, "VERDICTS.tsv"), encoding="utf-8") as rows:
        verdicts = dict(row.split() for row in rows if row.strip())
    for name, said in sorted(verdicts.items()):
        writer = Writer("register", "", register_call(False), refused_cas)
        yield name, said == "linearizable", writer.feed(events_of_log(read(porcupine, "jepsen", name)))
    for name in sorted(os.listdir(os.path.join(porcupine, "kv"))):
        writer = Writer("text", "", text_call, never)
        yield name, "-ok" in name, writer.feed(events_of_edn(read(porcupine, "kv", name)))
    knossos = os.path.join(shared, "oracles", "knossos")
    kinds = {"cas-register": ("register", "", register_call(True)),
             "mutex": ("mutex", "", mutex_call),
             "multi-register": ("registers", "x=0 y=0", txn_call)}
    for kind, (model, init, call) in kinds.items():
        for verdict in ("good", "bad"):
            folder = os.path.join(knossos, kind, verdict)
            for name in sorted(os.listdir(folder) if os.path.isdir(folder) else []):
                writer = Writer(model, init, call, never)
                text = writer.feed(events_of_edn(read(folder, name)))
                yield f"{kind}-{verdict}-{name}", verdict == "good", text


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as source:
        return source.read()


def main(shared, out):
    for name, good, text in histories(shared):
        path = os.path.join(out, name.rsplit(".", 1)[0] + ".history")
        with open(path, "w", encoding="utf-8") as target:
            target.write(text)
        print("OK" if good else "ILLEGAL", path)


if __name__ == "__main__":
    main(*sys.argv[1:])
