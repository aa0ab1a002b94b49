#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ports of mesh.py: nobody is given a port that another harness holds or the kernel may give away."""
import os
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mesh

HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
import mesh
print(mesh.Ports(sys.argv[2]).take(int(sys.argv[3])), flush=True)
sys.stdin.read()
"""


class PortsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="shoal-ports-test-")
        self.ports = mesh.Ports(self.folder.name)

    def tearDown(self):
        self.ports.close()
        self.folder.cleanup()

    def test_two_harnesses_never_hold_the_same_port(self):
        other = mesh.Ports(self.folder.name)
        port = self.ports.pick(2)
        self.assertFalse(other.take(port))
        self.assertFalse(other.take(port + 1))
        self.assertFalse(self.ports.take(port))
        self.ports.close()
        self.assertTrue(other.take(port))
        other.close()

    def test_a_harness_that_ends_leaves_its_ports_to_others(self):
        port = self.ports.pick()
        self.ports.close()
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, os.path.dirname(mesh.__file__),
                                   self.folder.name, str(port)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.assertEqual(holder.stdout.readline(), "True\n")
        self.assertFalse(self.ports.take(port))
        holder.kill()
        holder.communicate()
        self.assertTrue(self.ports.take(port))

    def test_ports_in_use_and_those_of_clients_are_left_out(self):
        with open(mesh.EPHEMERAL, encoding="ascii") as file:
            low, high = map(int, file.read().split())
        self.assertFalse([port for port in self.ports.choice if low <= port <= high])
        taken = self.ports.pick()
        self.ports.close()
        self.ports.choice = [taken]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as user:
            user.bind(("127.0.0.1", taken))
            with self.assertRaises(mesh.Failed):
                self.ports.pick()
        self.assertEqual(self.ports.held, {})


if __name__ == "__main__":
    unittest.main()
