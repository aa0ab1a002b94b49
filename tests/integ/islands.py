# SPDX-License-Identifier: Apache-2.0
"""Agents with a network each (namespaces joined by a bridge), so that packets of one can be made to
vanish: no connection breaks, nothing is refused. Needs the right to make namespaces.
"""
import contextlib
import ctypes
import os
import shutil
import subprocess

from mesh import Agent, Skip

NEW_NET = 0x40000000
PORT = 27000
API_PORT = 27002
HOME = os.open("/proc/self/ns/net", os.O_RDONLY)
LIBC = ctypes.CDLL(None, use_errno=True)


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skip(f"ip {' '.join(words)}: {done.stderr.strip()}")


def enter(space):
    if LIBC.setns(space, NEW_NET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Island(Agent):
    """An agent in a network namespace of its own; cut() makes its packets vanish until mend()."""

    def __init__(self, mesh, hub, name, number):
        super().__init__(mesh, name, PORT, API_PORT)
        self.hub = hub
        self.cable = f"c{number}"
        self.space = f"{hub}-{number}"
        self.addr = f"10.77.0.{number}:{PORT}"
        ip("netns", "add", self.space)
        ip("-n", hub, "link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns",
           self.space)
        ip("-n", self.space, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
        ip("-n", self.space, "link", "set", "eth0", "up")
        ip("-n", self.space, "link", "set", "lo", "up")

    def command(self):
        return ["ip", "netns", "exec", self.space] + super().command()

    @contextlib.contextmanager
    def inside(self):
        """Sockets that this thread makes meanwhile belong to the agent's network."""
        with open(f"/run/netns/{self.space}", "rb") as space:
            enter(space.fileno())
        try:
            yield
        finally:
            enter(HOME)

    def cut(self):
        ip("-n", self.hub, "link", "set", self.cable, "nomaster")

    def mend(self):
        ip("-n", self.hub, "link", "set", self.cable, "master", "br0", "up")


@contextlib.contextmanager
def hub_of(mesh, count):
    """The name of a namespace for the other ends of so many cables; removed with all of them, after
    the agents have stopped."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        raise Skip("network namespaces need root and ip (iproute2)")
    hub = f"shoal{os.getpid()}"
    try:
        ip("netns", "add", hub)
        yield hub
    finally:
        mesh.stop()
        for number in range(1, count + 1):
            subprocess.run(["ip", "netns", "del", f"{hub}-{number}"], capture_output=True,
                           check=False)
        subprocess.run(["ip", "netns", "del", hub], capture_output=True, check=False)


@contextlib.contextmanager
def islands(mesh, names):
    """Running agents of that many names, all voters, each with a network; removed afterwards."""
    with hub_of(mesh, len(names)) as hub:
        ip("-n", hub, "link", "add", "br0", "type", "bridge")
        ip("-n", hub, "link", "set", "br0", "up")
        made = []
        for number, name in enumerate(names, 1):
            agent = Island(mesh, hub, name, number)
            agent.mend()
            agent.join = [other.addr for other in made[-1:]]
            mesh.agents.append(agent)
            made.append(agent)
            agent.start()
        mesh.wait_voters(made, 30)
        yield made
