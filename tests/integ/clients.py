# SPDX-License-Identifier: Apache-2.0
"""Clients of real agents that never rest, and what they saw: for bars on failover.

A Client submits jobs of one unit, each under an idempotency key of its own, and asks again, at the
next agent, until one acknowledges it. What it saw goes into a Record, which writes the history for
`shoal-sim check-history`. Times are microseconds of one monotonic clock.
"""
import http.client
import json
import os
import threading
import time

from mesh import API, Failed, noop

PATIENCE_S = 3
PROBE_BYTES = 2048


def now_us():
    return time.monotonic_ns() // 1000


def quantile(values, share):
    """The value that this share of them does not exceed."""
    rows = sorted(values)
    return rows[min(len(rows) - 1, int(share * len(rows)))] if rows else float("nan")


class Record:
    """Calls of all clients, and the jobs that were acknowledged."""

    def __init__(self):
        self.lock = threading.Lock()
        self.lines = []
        self.jobs = {}  # key -> id
        self.twice = []

    def call(self, client, key, begun, done, text):
        end = "-" if done is None else done
        with self.lock:
            self.lines.append((begun, f"{begun} {end} {client} {key} {text}"))

    def acknowledged(self, key, job):
        with self.lock:
            if self.jobs.setdefault(key, job) != job:
                self.twice.append(f"key {key} gave jobs {self.jobs[key]} and {job}")

    def history(self):
        return "history 1\nmodel job\n" + "\n".join(text for _, text in sorted(self.lines)) + "\n"


class Link:
    """A connection to one agent that is kept."""

    def __init__(self, agent, timeout):
        self.agent = agent
        self.timeout = timeout
        self.link = None

    def ask(self, method, path, body=None, headers=None):
        """(status, JSON), or None: no answer, and nobody knows what became of it."""
        try:
            if self.link is None:
                self.link = http.client.HTTPConnection("127.0.0.1", self.agent.api_port,
                                                       timeout=self.timeout)
                with self.agent.inside():
                    self.link.connect()
            self.link.request(method, API + path, body, headers or {})
            reply = self.link.getresponse()
            return reply.status, json.loads(reply.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return None

    def close(self):
        if self.link is not None:
            self.link.close()
            self.link = None


class Client(threading.Thread):
    """Submits without a pause until stop(); acks are the times of its acknowledgements. reads: of
    so many of its own jobs, each at another agent, after every submission. agents() gives those to
    ask, the one that is asked first in front. pause_s: between two submissions, to leave room."""

    def __init__(self, name, agents, record, reads=0, timeout=PATIENCE_S, pause_s=0):
        super().__init__(daemon=True)
        self.label = name
        self.agents = agents
        self.record = record
        self.reads = reads
        self.timeout = timeout
        self.pause_s = pause_s
        self.links = {}
        self.acks = []
        self.refusals = 0
        self.unsettled = 0
        self.ending = threading.Event()
        self.fault = None

    def stop(self):
        self.ending.set()
        self.join(4 * self.timeout + 10)
        if self.is_alive():
            raise Failed(f"client {self.label} does not end")
        if self.fault:
            raise Failed(f"client {self.label}: {self.fault}")

    def run(self):
        number = 0
        body = json.dumps(noop("load", 1)).encode()
        while not self.ending.is_set() and self.fault is None:
            key = f"{self.label}-{number}"
            job = self.submit(key, body)
            for turn in range(self.reads if job else 0):
                self.read(key, job, number + turn)
            number += 1
            if self.pause_s:
                self.ending.wait(self.pause_s)
        for link in self.links.values():
            link.close()

    def link(self, agent):
        if agent not in self.links:
            self.links[agent] = Link(agent, self.timeout)
        return self.links[agent]

    def submit(self, key, body):
        """The job, or None where it was told to end while the outcome is open."""
        headers = {"Idempotency-Key": key}
        turn = 0
        while True:
            agents = self.agents()
            begun = now_us()
            answer = self.link(agents[turn % len(agents)]).ask("POST", "/jobs", body, headers)
            done = now_us()
            if answer and answer[0] in (200, 201):
                job = answer[1]["id"]
                self.acks.append(done)
                self.record.acknowledged(key, job)
                self.record.call(self.label, key, begun, done, f"submit = {job}")
                return job
            self.record.call(self.label, key, begun, None, "submit")
            if answer and answer[0] < 500 and answer[0] != 429:
                self.fault = f"submit {key}: {answer}"
                return None
            if self.ending.is_set():
                self.unsettled += 1
                return None
            self.refusals += 1
            turn += 1
            self.ending.wait(0.001 if answer is None else 0.005)  # nobody there yet

    def read(self, key, job, turn):
        agents = self.agents()
        begun = now_us()
        answer = self.link(agents[turn % len(agents)]).ask("GET", f"/jobs/{job}")
        done = now_us()
        if answer and answer[0] == 200:
            text = f"read {job} = {answer[1]['units_completed']}"
        elif answer and answer[0] == 404:
            text = f"read {job} = absent"
        elif answer and answer[0] < 500:
            self.fault = f"read {job}: {answer}"
            return
        else:
            return
        self.record.call(self.label, key, begun, done, text)


class DiskProbe:
    """fdatasync of small appends beside the agents' stores: how fast this disk is just now."""

    def __init__(self, path):
        self.file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self.taken_us = []

    def sample(self, count):
        for _ in range(count):
            begun = now_us()
            os.write(self.file, b"x" * PROBE_BYTES)
            os.fdatasync(self.file)
            self.taken_us.append(now_us() - begun)

    def p99_ms(self):
        return quantile(self.taken_us, 0.99) / 1000

    def close(self):
        os.close(self.file)


def longest_pause_us(acks, since, until):
    """Between two successive acknowledgements, of which the later came after since and the earlier
    before until."""
    pauses = [b - a for a, b in zip(acks, acks[1:]) if b > since and a < until]
    return max(pauses) if pauses else None
