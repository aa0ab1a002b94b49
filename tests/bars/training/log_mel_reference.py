#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Log-mel features against a second computation: Fourier sums from the definition in double, sharing
no code with kernels/data/mel.c. Tones, noise and steps at several rates, windows and numbers of
filters, in 8 and 16 bits; where the free spoken digits are at hand, some of those.

    log_mel_reference.py [SEED]

Every number must agree to 2e-6 (relative above 1: they are stored as floats). The bar also breaks the
reference on purpose (filters of equal area, as Slaney's), and must notice. Prints how many numbers
were compared and the largest difference.
"""
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import wave

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PROGRAM = os.path.join(os.environ.get("SHOAL_BUILD", os.path.join(TREE, "build/dev")),
                       "tests/log_mel")
SHARED = os.environ.get("SHOAL_SHARED", os.path.join(os.path.dirname(TREE), "shared"))
TOLERANCE = 2e-6


def mel(f):
    return 2595.0 * math.log10(1.0 + f / 700.0)


def hertz(m):
    return 700.0 * (10.0 ** (m / 2595.0) - 1.0)


def filter_bank(mels, size, rate, equal_area):
    edges = [hertz(mel(rate / 2) * i / (mels + 1)) for i in range(mels + 2)]
    bank = []
    for low, top, high in zip(edges, edges[1:], edges[2:]):
        scale = 2.0 / (high - low) if equal_area else 1.0
        row = {}
        for b in range(size // 2 + 1):
            f = b * rate / size
            height = min((f - low) / (top - low), (high - f) / (high - top))
            if height > 0:
                row[b] = scale * height
        bank.append(row)
    return bank


def features(samples, rate, form, equal_area=False):
    mels, frames, window_ms, hop_ms = form
    window, hop = rate * window_ms // 1000, rate * hop_ms // 1000
    size = 1 << (window - 1).bit_length()
    cosines = [math.cos(2 * math.pi * i / size) for i in range(size)]
    sines = [math.sin(2 * math.pi * i / size) for i in range(size)]
    bank = filter_bank(mels, size, rate, equal_area)
    out = [[0.0] * frames for _ in range(mels)]
    for k in range(frames):
        part = samples[k * hop:k * hop + window]
        part = [v * (0.5 - 0.5 * math.cos(2 * math.pi * i / window)) for i, v in enumerate(part)]
        power = []
        for b in range(size // 2 + 1):
            re = math.fsum(v * cosines[b * i % size] for i, v in enumerate(part))
            im = math.fsum(v * sines[b * i % size] for i, v in enumerate(part))
            power.append(re * re + im * im)
        for m, row in enumerate(bank):
            out[m][k] = math.log(math.fsum(w * power[b] for b, w in row.items()) + 1e-6)
    return out


def write_wav(path, raw, rate, bits):
    with wave.open(path, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(bits // 8)
        out.setframerate(rate)
        out.writeframes(struct.pack(f"<{len(raw)}{'h' if bits == 16 else 'B'}", *raw))


def read_wav(path):
    with wave.open(path, "rb") as file:
        count, rate = file.getnframes(), file.getframerate()
        return list(struct.unpack(f"<{count}h", file.readframes(count))), rate


def cases(rng, folder):
    """(path, samples in [-1, 1), rate, form)"""
    forms = [(8000, 16, (20, 6, 25, 10), 900), (8000, 8, (40, 8, 25, 10), 500),
             (16000, 16, (40, 4, 25, 10), 1200), (11025, 16, (13, 9, 20, 5), 700),
             (44100, 16, (32, 2, 10, 7), 1500), (8000, 16, (1, 3, 2, 1), 40)]
    for number, (rate, bits, form, count) in enumerate(forms):
        tone = rng.uniform(100, rate / 2.5)
        values = [0.4 * math.sin(2 * math.pi * tone * i / rate) + rng.gauss(0, 0.05) +
                  (0.2 if i > count // 2 else 0) for i in range(count)]
        full = 1 << (bits - 1)
        raw = [max(-full, min(full - 1, round(v * full))) for v in values]
        path = os.path.join(folder, f"{number}.wav")
        write_wav(path, raw if bits == 16 else [v + 128 for v in raw], rate, bits)
        yield path, [v / full for v in raw], rate, form
    recordings = os.path.join(SHARED, "data", "fsdd", "recordings")
    for name in ("3_theo_7.wav", "9_yweweler_0.wav"):
        path = os.path.join(recordings, name)
        if os.path.exists(path):
            raw, rate = read_wav(path)
            yield path, [v / 32768 for v in raw], rate, (40, 12, 25, 10)


def asked(path, form):
    out = subprocess.run([PROGRAM, path, *map(str, form)], check=True, capture_output=True, text=True)
    return [[float(word) for word in line.split()] for line in out.stdout.splitlines()]


def difference(got, want):
    return max(abs(g - w) / max(1.0, abs(w)) for rows in zip(got, want) for g, w in zip(*rows))


def main():
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    compared, largest, noticed = 0, 0.0, True
    with tempfile.TemporaryDirectory() as folder:
        for path, samples, rate, form in cases(rng, folder):
            got, want = asked(path, form), features(samples, rate, form)
            if [len(row) for row in got] != [form[1]] * form[0]:
                sys.exit(f"{path}: {len(got)} rows")
            apart = difference(got, want)
            compared, largest = compared + form[0] * form[1], max(largest, apart)
            if apart > TOLERANCE:
                sys.exit(f"{path} {form}: apart by {apart:.3g}")
            if rate == 11025:
                noticed = difference(got, features(samples, rate, form, True)) > TOLERANCE
    if not noticed:
        sys.exit("filters of equal area went unnoticed")
    print(f"{compared} numbers compared")
    print(f"largest difference {largest:.2g}")


if __name__ == "__main__":
    main()
