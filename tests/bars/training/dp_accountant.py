#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The privacy accountant against values known from elsewhere (to 1e-6), against the same formulas in
60 decimal digits over drawn settings (to 1e-9), and against the exact cost of Gaussian noise without
sampling, which no bound may be below."""
import decimal
import math
import os
import random
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PROGRAM = os.path.join(os.environ.get("SHOAL_BUILD", os.path.join(ROOT, "build/dev")),
                       "tests/dp_accountant")
# q, noise, rounds, delta, epsilon, order
KNOWN = [(256 / 60000, 1.1, 14100, 1e-5, 2.600718, 8), (0.01, 1.0, 1000, 1e-5, 2.107753, 8),
         (0.1, 1.0, 100, 1e-5, 7.972922, 3), (1, 5.0, 50, 1e-5, 7.087862, 4),
         (1, 1.0, 1, 1e-5, 4.752728, 5), (0.05, 2.0, 500, 1e-6, 3.103813, 8)]
# q, noise, order, R
RDP = [(0.01, 1.0, 2, 1.718134221e-4), (0.01, 1.0, 8, 8.936439076e-4), (0.01, 1.0, 32, 11.24627594)]
D = decimal.Decimal
ORDERS = range(2, 257)


def ask(requests):
    out = subprocess.run([PROGRAM], input="".join(f"{r}\n" for r in requests), check=True, text=True,
                         capture_output=True).stdout
    return [[float(word) for word in line.split()] for line in out.splitlines()]


def rdp(q, noise, order):
    """The formula term by term, exact but for the last of 60 digits."""
    q, z = D(q), D(noise)
    if q == 1:
        return order / (2 * z * z)
    total = sum(math.comb(order, k) * (1 - q) ** (order - k) * q ** k *
                (D(k * (k - 1)) / (2 * z * z)).exp() for k in range(order + 1))
    return total.ln() / (order - 1)


def epsilon(q, noise, rounds, delta):
    return min(rounds * rdp(q, noise, a) + (1 - D(1) / a).ln() - (D(delta).ln() + D(a).ln()) / (a - 1)
               for a in ORDERS)


def exact_delta(noise, rounds, eps):
    """Balle and Wang, "Improving the Gaussian mechanism", 2018: what delta Gaussian noise really has."""
    mu = math.sqrt(rounds) / noise
    phi = lambda x: 0.5 * math.erfc(-x / math.sqrt(2))
    return phi(mu / 2 - eps / mu) - math.exp(eps) * phi(-mu / 2 - eps / mu)


def main():
    decimal.getcontext().prec = 60
    worst = 0.0
    for row, got in zip(KNOWN, ask(f"{q!r} {z} {t} {d}" for q, z, t, d, _, _ in KNOWN)):
        off = abs(got[0] - row[4])
        print(f"q {row[0]:.6f}, noise {row[1]}, {row[2]} rounds, delta {row[3]}: "
              f"epsilon {got[0]:.6f} of order {got[1]:.0f}, known {row[4]} of {row[5]}")
        if off > 1e-6 or got[1] != row[5]:
            sys.exit("not the known value")
        worst = max(worst, off)
    for row, got in zip(RDP, ask(f"rdp {q} {z} {a}" for q, z, a, _ in RDP)):
        if abs(got[0] / row[3] - 1) > 1e-9:
            sys.exit(f"R({row[2]}) is {got[0]}, known {row[3]}")
    rng = random.Random(1)
    drawn = [(round(10 ** rng.uniform(-4, 0), 6), round(10 ** rng.uniform(-0.5, 1.5), 4),
              rng.randrange(1, 5000), 10.0 ** -rng.randrange(3, 9)) for _ in range(4)]
    furthest = 0.0
    for row, got in zip(drawn, ask("{} {} {} {}".format(*row) for row in drawn)):
        want = float(epsilon(*row))
        furthest = max(furthest, abs(got[0] - want) / max(1.0, want))
    print(f"{len(drawn)} drawn settings in 60 digits: at most {furthest:.1e} apart")
    if furthest > 1e-9:
        sys.exit("not what the formula says")
    plain = [(1, z, t, d) for z in (0.8, 2.0, 10.0) for t in (1, 30) for d in (1e-3, 1e-6)]
    for row, got in zip(plain, ask("{} {} {} {}".format(*row) for row in plain)):
        if exact_delta(row[1], row[2], got[0]) > row[3]:
            sys.exit(f"{row}: epsilon {got[0]} is less than the noise costs")
    print(f"known values to {worst:.1e}")


if __name__ == "__main__":
    main()
