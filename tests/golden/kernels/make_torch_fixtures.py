#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what PyTorch computes for three models, for torch_parity.c to follow.

usage: make_torch_fixtures.py DIRECTORY     (needs python3-torch and numpy)

Weights and batches are integer formulas that torch_parity.c repeats, so only results are stored:
DIRECTORY/{digits,mixed,text}.fix = lines "name count", an empty line, then little-endian float32 values.
"""

import sys

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
torch.set_num_threads(1)


def mix(values):
    """The 32-bit finaliser of MurmurHash3 over an array of uint32."""
    v = values.astype(np.uint32)
    v ^= v >> np.uint32(16)
    v *= np.uint32(0x85EBCA6B)
    v ^= v >> np.uint32(13)
    v *= np.uint32(0xC2B2AE35)
    v ^= v >> np.uint32(16)
    return v


def unit(purpose, first, count):
    """Exact multiples of 2^-16 in [0, 1)."""
    index = np.arange(first, first + count, dtype=np.uint64)
    word = mix(((index * 0x9E3779B9 + purpose * 0x7F4A7C15) & 0xFFFFFFFF).astype(np.uint32))
    return (word >> np.uint32(16)).astype(np.float32) / np.float32(65536)


def batch(step, size, shape, classes):
    """Noise, and a brighter band of values whose place is the label."""
    inputs = int(np.prod(shape))
    first = step * size
    labels = mix(np.arange(first, first + size).astype(np.uint32) ^ np.uint32(0x5BD1E995)) % classes
    x = unit(1, first * inputs, size * inputs).reshape(size, inputs) - np.float32(0.5)
    band = np.minimum(np.arange(inputs) // (inputs // classes), classes - 1)
    x += (band[None, :] == labels[:, None]).astype(np.float32) * np.float32(0.5)
    return (torch.from_numpy(x.reshape((size,) + shape)),
            torch.from_numpy(labels.astype(np.int64)))


PLACES, VOCAB, WIDTH, HEADS, HIDDEN = 12, 11, 16, 2, 40


def tokens(step, size, shape, classes):
    """Numbers as they come; the label of a place is the number two places before it, turned by one."""
    del shape
    first = step * size * PLACES
    index = np.arange(first, first + size * PLACES).astype(np.uint32)
    x = (mix(index ^ np.uint32(0x2545F491)) % classes).reshape(size, PLACES)
    y = np.zeros_like(x)
    y[:, 2:] = (x[:, :-2] + 1) % classes
    return torch.from_numpy(x.astype(np.int64)), torch.from_numpy(y.astype(np.int64))


class Block(nn.Module):
    """A block of a transformer with normalisation before each half, causal, without dropout."""

    def __init__(self):
        super().__init__()
        self.ln1 = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.ln2 = nn.LayerNorm(WIDTH)
        self.dense1 = nn.Linear(WIDTH, HIDDEN)
        self.dense2 = nn.Linear(HIDDEN, WIDTH)
        self.ln1.weight.is_gamma = True
        self.ln2.weight.is_gamma = True

    def attend(self, x):
        n = x.shape[0]
        q, k, v = (part.reshape(n, PLACES, HEADS, WIDTH // HEADS).transpose(1, 2)
                   for part in self.qkv(x).chunk(3, dim=2))
        scores = q @ k.transpose(2, 3) / np.sqrt(WIDTH / HEADS)
        hidden = torch.triu(torch.ones(PLACES, PLACES, dtype=torch.bool), 1)
        probs = torch.softmax(scores.masked_fill(hidden, -np.inf), 3)
        return self.out((probs @ v).transpose(1, 2).reshape(n, PLACES, WIDTH))

    def forward(self, x):
        x = x + self.attend(self.ln1(x))
        return x + self.dense2(nn.functional.gelu(self.dense1(self.ln2(x))))


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, WIDTH)
        self.positions = nn.Parameter(torch.zeros(PLACES, WIDTH))
        self.block1 = Block()
        self.block2 = Block()
        self.ln = nn.LayerNorm(WIDTH)
        self.dense = nn.Linear(WIDTH, VOCAB)
        self.ln.weight.is_gamma = True

    def parameters(self, recurse=True):
        """In the order of the layers; torch lists a module's own before those of its parts."""
        yield self.embedding.weight
        yield self.positions
        for part in (self.block1, self.block2, self.ln, self.dense):
            yield from part.parameters(recurse)

    def forward(self, x):
        x = self.block2(self.block1(self.embedding(x) + self.positions))
        return self.dense(self.ln(x)).transpose(1, 2)


def fill(model):
    """Weights in +-2 / sqrt(fan_in), batch normalisation gamma in 1 +- 0.5, from the formula."""
    for index, parameter in enumerate(model.parameters()):
        count = parameter.numel()
        u = unit(100 + index, 0, count)
        if parameter.dim() > 1:
            fan_in = count // parameter.shape[0]
            values = (2 * u - 1) * np.float32(2 / np.sqrt(fan_in))
        else:
            values = (2 * u - 1) * np.float32(0.125)
        if parameter.dim() == 1 and getattr(parameter, "is_gamma", False):
            values = u + np.float32(0.5)
        parameter.data.copy_(torch.from_numpy(values.reshape(parameter.shape)))


class Mixed(nn.Module):
    """Strides, padding, batch normalisation, exact GELU, a residual sum, both pools."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 6, (3, 5), stride=(2, 1), padding=(1, 2))
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(6, eps=1e-3, momentum=0.25)
        self.dense1 = nn.Linear(6 * 2 * 3, 20)
        self.dense2 = nn.Linear(20, 5)
        self.bn1.weight.is_gamma = True
        self.bn2.weight.is_gamma = True

    def forward(self, x):
        a = nn.functional.gelu(self.bn1(self.conv1(x)))
        b = self.bn2(self.conv2(a))
        a = nn.functional.relu(a + b)
        a = nn.functional.max_pool2d(a, 3, stride=2, padding=1)
        a = nn.functional.avg_pool2d(a, 2, stride=1)
        a = nn.functional.gelu(self.dense1(torch.flatten(a, 1)))
        return self.dense2(a)


def digits():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def train(make, shape, classes, size, steps, optimiser, batch=batch):
    model = make()
    fill(model)
    optim = optimiser(model.parameters())
    losses = []
    gradients = None
    for step in range(steps):
        x, y = batch(step, size, shape, classes)
        optim.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        if gradients is None:
            gradients = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
        optim.step()
        losses.append(loss.item())
    return model, np.array(losses, np.float32), gradients


def write(path, tensors):
    with open(path, "wb") as out:
        for name, values in tensors:
            out.write(f"{name} {values.size}\n".encode())
        out.write(b"\n")
        for _, values in tensors:
            out.write(values.astype("<f4").tobytes())


def main():
    sgd = lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)
    adamw = lambda p: torch.optim.AdamW(p, lr=0.001)
    nesterov = lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.8, weight_decay=0.01, nesterov=True)

    _, sgd_loss, gradient = train(digits, (1, 28, 28), 10, 64, 100, sgd)
    _, adamw_loss, _ = train(digits, (1, 28, 28), 10, 64, 100, adamw)
    write(f"{sys.argv[1]}/digits.fix",
          [("gradient", gradient), ("sgd", sgd_loss), ("adamw", adamw_loss)])

    model, loss, gradient = train(Mixed, (2, 9, 7), 5, 20, 60, nesterov)
    buffers = np.concatenate([b.numpy().ravel() for m in (model.bn1, model.bn2)
                              for b in (m.running_mean, m.running_var)])
    model.eval()
    with torch.no_grad():
        x, _ = batch(60, 20, (2, 9, 7), 5)
        probabilities = torch.softmax(model(x), 1).numpy().ravel()
    _, adamw_loss, _ = train(Mixed, (2, 9, 7), 5, 20, 60, adamw)
    write(f"{sys.argv[1]}/mixed.fix",
          [("gradient", gradient), ("sgd", loss), ("adamw", adamw_loss), ("buffers", buffers),
           ("probabilities", probabilities)])

    _, sgd_loss, gradient = train(Text, None, VOCAB, 32, 60, sgd, tokens)
    model, adamw_loss, _ = train(Text, None, VOCAB, 32, 60, adamw, tokens)
    model.eval()
    with torch.no_grad():
        x, _ = tokens(60, 4, None, VOCAB)
        probabilities = torch.softmax(model(x), 1).transpose(1, 2).numpy().ravel()
    write(f"{sys.argv[1]}/text.fix",
          [("gradient", gradient), ("sgd", sgd_loss), ("adamw", adamw_loss),
           ("probabilities", probabilities)])


if __name__ == "__main__":
    main()
