# SPDX-License-Identifier: Apache-2.0
"""Two agents with a network each and a slow link between them: so many bits a second each way, and
so long until they arrive. Frames go through this process, which counts them. Needs the right to make
namespaces and packet sockets.
"""
import collections
import contextlib
import ctypes
import fcntl
import os
import selectors
import socket
import struct
import threading
import time

from islands import HOME, Island, enter, hub_of, ip
from mesh import Failed

ETH_P_ALL = 3
SIOCETHTOOL = 0x8946
TX_CHECKSUMS = 0x17  # ETHTOOL_STXCSUM: off, every frame leaves whole, with its sum, and never longer
FRAME_MAX = 65536
QUEUE_S = 0.5  # what stands longer in line is dropped, as in a router


def whole_frames(name):
    """The interface leaves neither the cutting nor the sums of what it sends to a device."""
    value = ctypes.create_string_buffer(struct.pack("II", TX_CHECKSUMS, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL,
                    struct.pack("16sP", name.encode(), ctypes.addressof(value)))


class Direction:
    def __init__(self, source, target, bits_a_second, delay_s):
        self.source = source
        self.target = target
        self.rate = bits_a_second
        self.delay = delay_s
        self.free_at = 0.0  # when the last frame in line will have left
        self.line = collections.deque()
        self.bytes = 0
        self.dropped = 0

    def take(self):
        now = time.monotonic()
        try:
            frame, address = self.source.recvfrom(FRAME_MAX)
        except BlockingIOError:
            return
        if address[2] == socket.PACKET_OUTGOING:  # what this process sent there
            return
        start = max(now, self.free_at)
        if start - now > QUEUE_S:
            self.dropped += 1
            return
        self.bytes += len(frame)
        self.free_at = start + len(frame) * 8 / self.rate
        self.line.append((self.free_at + self.delay, frame))

    def give(self):
        """Sends what is due; seconds until the next is, None: nothing is in line."""
        while self.line:
            wait = self.line[0][0] - time.monotonic()
            if wait > 0:
                return wait
            try:
                self.target.send(self.line.popleft()[1])
            except OSError:
                self.dropped += 1
        return None


class SlowLink:
    def __init__(self, hub, cables, bits_a_second, delay_s):
        with open(f"/run/netns/{hub}", "rb") as space:
            enter(space.fileno())
        try:
            self.ends = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
                         for _ in cables]
            for end, cable in zip(self.ends, cables):
                end.bind((cable, 0))
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
                end.setblocking(False)
        finally:
            enter(HOME)
        self.ways = [Direction(self.ends[0], self.ends[1], bits_a_second, delay_s),
                     Direction(self.ends[1], self.ends[0], bits_a_second, delay_s)]
        self.wake, self.woken = os.pipe()
        self.thread = threading.Thread(target=self.carry)
        self.thread.start()

    def carry(self):
        with selectors.DefaultSelector() as selector:
            for way in self.ways:
                selector.register(way.source, selectors.EVENT_READ, way)
            selector.register(self.wake, selectors.EVENT_READ)
            while True:
                waits = [wait for wait in (way.give() for way in self.ways) if wait is not None]
                for key, _ in selector.select(min(waits) if waits else None):
                    if key.data is None:
                        return
                    key.data.take()

    def bytes(self):
        """Of both directions so far."""
        return sum(way.bytes for way in self.ways)

    def close(self):
        os.close(self.woken)
        self.thread.join()
        os.close(self.wake)
        for end in self.ends:
            end.close()


@contextlib.contextmanager
def slow_link(mesh, names, bits_a_second, delay_s):
    """(Two running agents, the link between them)."""
    if len(names) != 2:
        raise Failed("a link has two ends")
    with hub_of(mesh, len(names)) as hub:
        agents = [Island(mesh, hub, name, number) for number, name in enumerate(names, 1)]
        for agent in agents:
            with agent.inside():
                whole_frames("eth0")
            ip("-n", hub, "link", "set", agent.cable, "up")
        link = SlowLink(hub, [agent.cable for agent in agents], bits_a_second, delay_s)
        try:
            agents[1].join = [agents[0].addr]
            for agent in agents:
                mesh.agents.append(agent)
                agent.start()
            yield agents, link
        finally:
            mesh.stop()
            link.close()
