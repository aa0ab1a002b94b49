#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Metrics against a second computation: exact fractions, and roots to 50 digits, written from the
definitions and sharing no code with kernels/score. Hundreds of random tables, among them such as have
buckets without value, constant truth, bounds of buckets, huge and tiny numbers.

    metrics_reference.py [SEED]

Classification of two and of k classes, regression, and the 14 metrics of a results.csv as generic and
as Cargo2000, fixed and as a Conductor server showed them. Every figure must agree to 1e-9 (relative
where above 1), and have no value where the other has none. Prints how many were compared and the
largest difference. The bar also breaks the reference on purpose, and must notice.
"""
import math
import os
import random
import subprocess
import sys
import tempfile
from decimal import Decimal, localcontext
from fractions import Fraction

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PROGRAM = os.path.join(os.environ.get("SHOAL_BUILD", os.path.join(TREE, "build/dev")),
                       "tests/metrics")
TOLERANCE = 1e-9
TABLES = 60
INFINITE = object()


def root(x):
    with localcontext() as context:
        context.prec = 60
        return Fraction((Decimal(x.numerator) / Decimal(x.denominator)).sqrt())


def over(a, b):
    return None if b == 0 else Fraction(a) / Fraction(b)


def mean(values):
    there = [v for v in values if v is not None]
    if INFINITE in there:
        return INFINITE
    return over(sum(there, Fraction(0)), len(there))


def two_classes(tp, fp, tn, fn, beta=Fraction(1)):
    square = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    b2 = beta * beta
    return {"accuracy": over(tp + tn, tp + fp + tn + fn), "precision": over(tp, tp + fp),
            "recall": over(tp, tp + fn), "f": over((1 + b2) * tp, (1 + b2) * tp + b2 * fn + fp),
            "specificity": over(tn, tn + fp), "npv": over(tn, tn + fn), "fpr": over(fp, fp + tn),
            "mcc": over(tp * tn - fp * fn, root(Fraction(square)))}


def k_classes(pairs, k, beta):
    singles = []
    for c in range(k):
        tp = sum(t == c and s == c for t, s in pairs)
        fp = sum(t != c and s == c for t, s in pairs)
        fn = sum(t == c and s != c for t, s in pairs)
        singles.append((tp, fp, len(pairs) - tp - fp - fn, fn))
    scores = [two_classes(*one, beta) for one in singles]
    micro = two_classes(*(sum(one[i] for one in singles) for i in range(4)), beta)
    said = [one[0] + one[1] for one in singles]
    true = [one[0] + one[3] for one in singles]
    n = len(pairs)
    right = sum(one[0] for one in singles)
    below = (n * n - sum(x * x for x in said)) * (n * n - sum(x * x for x in true))
    found = {"accuracy": over(right, n),
             "mcc": over(right * n - sum(a * b for a, b in zip(said, true)), root(Fraction(below)))}
    for name in micro:
        found["macro-" + name] = mean([s[name] for s in scores])
        found["micro-" + name] = micro[name]
    return found


def numbers(pairs, about_said=False):
    """about_said: relative to the spread of what was said, x/0 infinite, as Conductor."""
    n = len(pairs)
    absolute = sum((abs(s - t) for t, s in pairs), Fraction(0))
    square = sum(((s - t) ** 2 for t, s in pairs), Fraction(0))
    base = [s if about_said else t for t, s in pairs]
    middle = sum(base, Fraction(0)) / n if n else 0
    spread = sum((abs(b - middle) for b in base), Fraction(0))
    spread2 = sum(((b - middle) ** 2 for b in base), Fraction(0))

    def relative(x, y):
        return INFINITE if about_said and y == 0 and x > 0 else over(x, y)

    mse = over(square, n)
    rse = relative(square, spread2)
    return {"mae": over(absolute, n), "mse": mse, "rmse": None if mse is None else root(mse),
            "rae": relative(absolute, spread), "rse": rse,
            "rrse": rse if rse is None or rse is INFINITE else root(rse)}


def generic_bucket(cell, compat):
    if compat == "conductor":
        value = float(cell)
        return next((i for i in range(11) if i * 0.1 <= value < (i + 1) * 0.1), None)
    bucket = math.floor(Fraction(cell) * 10)
    return bucket if 0 <= bucket <= 10 else None


def cargo_bucket(length, prefix, words):
    half = words.index("13")
    if prefix == half:
        return 5
    if prefix < half:
        return math.floor(Fraction(prefix, half) / 2 * 10)
    if prefix > length:
        return None
    completion = Fraction(prefix - half, length - half) / 2 + Fraction(1, 2)
    bucket = math.floor(completion * 10)
    return 6 if bucket == 5 else bucket


def results(rows, kind, compat):
    buckets = [[] for _ in range(11)]
    for length, prefix, completion, said, true, planned, words in rows:
        if kind == "cargo2000" and compat == "fixed":
            bucket = cargo_bucket(length, prefix, words)
        else:
            bucket = generic_bucket(completion, compat)
        if bucket is not None:
            buckets[bucket].append((Fraction(true), Fraction(said), Fraction(planned)))
    scores = []
    for bucket in buckets:
        counts = {"tp": 0, "fp": 0, "tn": 0, "fn": 0}
        for true, said, planned in bucket:
            is_late, said_late = true > planned, said > planned
            if kind == "cargo2000":
                is_late, said_late = not is_late, not said_late
            counts[("t" if is_late == said_late else "f") + ("p" if said_late else "n")] += 1
        one = two_classes(counts["tp"], counts["fp"], counts["tn"], counts["fn"])
        p, r = one["precision"], one["recall"]
        one["f"] = None if p is None or r is None else over(2 * p * r, p + r)
        if compat == "conductor":
            one["npv"] = over(counts["tn"], counts["tn"] + counts["tp"])
        one.update(numbers([(t, s) for t, s, _ in bucket], compat == "conductor"))
        scores.append(one)
    return {name: mean([s[name] for s in scores]) for name in scores[0]}


def decimal(rng):
    """A number as some script would write it."""
    style = rng.randrange(6)
    if style == 0:
        return str(rng.randrange(-50, 50))
    if style == 1:
        return f"{rng.uniform(-1, 1):.3e}"
    if style == 2:
        return f"{rng.choice([1, -1])}{rng.randrange(10 ** 6)}.{rng.randrange(1000)}E{rng.randrange(-9, 9)}"
    return f"{rng.uniform(0, 20):.{rng.randrange(7)}f}"


def random_rows(rng):
    count = rng.choice([1, 3, 20, 60, 200])
    constant = decimal(rng) if rng.random() < 0.2 else None
    # Equal predictions sum to a multiple of them only in exact numbers; whole ones do in both.
    dull = str(rng.randrange(9)) if rng.random() < 0.2 else None
    rows = []
    for _ in range(count):
        length = rng.randrange(1, 25)
        words = [str(rng.randrange(1, 13)) for _ in range(length)]
        words[rng.randrange(length)] = "13"
        prefix = rng.randrange(1, length + 1)
        if rng.random() < 0.02:
            prefix += length
        completion = rng.choice([f"{prefix / length:.6f}", f"0.{rng.randrange(10)}", "1", "1.0", "0",
                                 "-0.5", "1.3", f"{rng.random():.17f}"])
        rows.append((length, prefix, completion, dull or decimal(rng), constant or decimal(rng),
                     str(rng.randrange(-2, 14)), words))
    return rows


def write_results(path, rows):
    with open(path, "w", encoding="ascii") as out:
        out.write("sequenceid,sequencelength,prefix,completion,prediction,groundtruth,planned,"
                  "processid,prefixactivities,suffixactivities\n")
        for i, (length, prefix, completion, said, true, planned, words) in enumerate(rows):
            out.write(f"{i},{length},{prefix},{completion},{said},{true},{planned},p{i},"
                      f"{' '.join(words[:prefix])},{' '.join(words[prefix:])}\n")


def asked(*arguments):
    out = subprocess.run([PROGRAM, *arguments], check=True, capture_output=True, text=True).stdout
    return {name: None if value == "none" else float(value)
            for name, value in (line.split() for line in out.splitlines())}


class Tally:
    def __init__(self):
        self.compared = 0
        self.absent = 0
        self.largest = 0.0
        self.wrong = []

    def take(self, what, got, want):
        if set(got) != set(want):
            self.wrong.append(f"{what}: names differ: {sorted(set(got) ^ set(want))}")
        for name in set(got) & set(want):
            self.compared += 1
            a, b = got[name], want[name]
            if b is None or b is INFINITE or a is None or math.isinf(a):
                self.absent += 1
                if not (a is None if b is None else b is INFINITE and a is not None
                        and math.isinf(a)):
                    self.wrong.append(f"{what}: {name} is {a}, expected {b}")
                continue
            # An exact difference: the float's value is a fraction too.
            off = float(abs(Fraction(a) - b) / max(1, abs(b)))
            self.largest = max(self.largest, off)
            if off > TOLERANCE:
                self.wrong.append(f"{what}: {name} is {a}, expected {float(b)}")


def compare(seed, tally):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table")
        for turn in range(TABLES):
            rows = random_rows(rng)
            write_results(path, rows)
            for kind in ("generic", "cargo2000"):
                for compat in ("fixed", "conductor"):
                    tally.take(f"table {turn} {kind} {compat}",
                               asked("results", path, kind, compat), results(rows, kind, compat))
            pairs = [(r[4], r[3]) for r in rows]
            with open(path, "w", encoding="ascii") as out:
                out.writelines(f"{t} {s}\n" for t, s in pairs)
            tally.take(f"table {turn} numbers", asked("numbers", path),
                       numbers([(Fraction(t), Fraction(s)) for t, s in pairs]))
            k = rng.choice([2, 2, 3, 5, 17])
            beta = rng.choice(["1", "0.5", "2"])
            known = rng.randrange(1, k + 1)
            labels = [(rng.randrange(known), rng.randrange(k) if rng.random() < 0.4 else 0)
                      for _ in range(rng.choice([1, 5, 100]))]
            with open(path, "w", encoding="ascii") as out:
                out.writelines(f"{t} {s}\n" for t, s in labels)
            want = k_classes(labels, k, Fraction(beta))
            if k == 2:
                tp, fp = labels.count((1, 1)), labels.count((0, 1))
                want = two_classes(tp, fp, labels.count((0, 0)), labels.count((1, 0)),
                                   Fraction(beta))
            tally.take(f"table {turn} of {k} classes", asked("classes", path, str(k), beta), want)


def blind(seed):
    """Whether a reference with Conductor's negative predictive value would go unnoticed."""
    rng = random.Random(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table")
        rows = random_rows(rng) + random_rows(rng)
        write_results(path, rows)
        want = results(rows, "generic", "fixed")
        want["npv"] = results(rows, "generic", "conductor")["npv"]
        tally.take("broken", asked("results", path, "generic", "fixed"), want)
    return not any(" npv is " in line for line in tally.wrong)


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    tally = Tally()
    compare(seed, tally)
    print("\n".join(tally.wrong[:20]))
    if blind(seed + 1):
        print("the bar is blind")
        return 1
    if tally.wrong or tally.compared < 60 * TABLES or tally.absent == 0:
        print(f"{len(tally.wrong)} of {tally.compared} figures differ")
        return 1
    print(f"{tally.compared} figures, {tally.absent} of them without a value or infinite: largest "
          f"difference {tally.largest:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
