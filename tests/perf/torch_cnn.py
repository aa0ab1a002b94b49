#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training rate of PyTorch on the models of train_rate.c, for speed_torch.sh.

usage: torch_cnn.py MODEL BATCH THREADS SECONDS [channels_last]

Prints one line ending in samples/s. Run with OPENBLAS_* unset; ATEN_CPU_CAPABILITY selects the
kernels of ATen.
"""

import sys
import time

import torch
from torch import nn


def block(inputs, filters, kernel, norm):
    layers = [nn.Conv2d(inputs, filters, kernel, padding=kernel // 2)]
    if norm:
        layers.append(nn.BatchNorm2d(filters))
    return layers + [nn.ReLU(), nn.MaxPool2d(2)]


PLACES, VOCAB, WIDTH, HEADS = 64, 65, 64, 4


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("hidden", torch.triu(torch.full((PLACES, PLACES), -torch.inf), 1))

    def forward(self, x):
        n = x.shape[0]
        q, k, v = self.qkv(x).reshape(n, PLACES, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        probs = torch.softmax(q @ k.transpose(2, 3) * (WIDTH / HEADS) ** -0.5 + self.hidden, 3)
        return self.out((probs @ v).transpose(1, 2).reshape(n, PLACES, WIDTH))


class Half(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(WIDTH), *layers)

    def forward(self, x):
        return x + self.inner(x)


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, WIDTH)
        self.positions = nn.Parameter(torch.zeros(PLACES, WIDTH))
        halves = [half for _ in range(2) for half in (
            Half(Attention()),
            Half(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)))]
        self.rest = nn.Sequential(*halves, nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCAB))

    def forward(self, x):
        return self.rest(self.embedding(x) + self.positions).transpose(1, 2)


def model_of(name):
    if name == "text":
        return Text()
    if name == "digits":
        return nn.Sequential(*block(1, 8, 5, False), *block(8, 16, 5, False), nn.Flatten(),
                             nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    if name == "bn":
        return nn.Sequential(*block(1, 16, 3, True), *block(16, 32, 3, True), nn.Flatten(),
                             nn.Dropout(0.25), nn.Linear(1568, 128), nn.ReLU(), nn.Dropout(0.5),
                             nn.Linear(128, 10))
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512),
                             nn.ReLU(), nn.Linear(512, 10))
    if name == "mlp128":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    sys.exit(f"torch_cnn.py: unknown model {name}")


def main():
    name, size, threads, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = model_of(name)
    x = torch.rand(size, 1, 28, 28)
    y = torch.randint(0, 10, (size,))
    if name == "text":
        x = torch.randint(0, VOCAB, (size, PLACES))
        y = torch.randint(0, VOCAB, (size, PLACES))
    if "channels_last" in sys.argv[5:]:
        model = model.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    optim = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loss = nn.CrossEntropyLoss()

    def step():
        optim.zero_grad(set_to_none=True)
        loss(model(x), y).backward()
        optim.step()

    for _ in range(5):
        step()
    begin = time.monotonic()
    steps = 0
    while time.monotonic() - begin < seconds:
        step()
        steps += 1
    rate = steps * size / (time.monotonic() - begin)
    print(f"torch {torch.__version__} {name} batch={size} threads={threads} samples/s {rate:.0f}")


if __name__ == "__main__":
    main()
