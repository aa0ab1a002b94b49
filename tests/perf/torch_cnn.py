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


def model_of(name):
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
