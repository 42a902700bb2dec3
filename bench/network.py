"""The network of one system under test: three namespaces, one queue a device.

    client 10.1.0.10 to .13 --eth0------inside [ firewall ] outside------eth0-- server 10.2.0.10, .11

Each system with each number of calls has a network of its own, all of them up at the same time, so that rounds of all
can take turns.
"""

import ctypes
import fcntl
import json
import socket
import struct

from lab.netns import NETNS_DIR, Namespace, ip
from lab.real import keep_gre_open

CLIENTS = [f"10.1.0.{number}" for number in range(10, 14)]
SERVERS = ["10.2.0.10", "10.2.0.11"]
INNER, OUTER = "10.1.0.1", "10.2.0.1"
SIOCETHTOOL, ETHTOOL_SGRO = 0x8946, 0x2C


class Network:
    def __init__(self, label):
        self.client, self.firewall, self.server = self.all = [
            Namespace(f"{label}-{end}") for end in ("client", "firewall", "server")]
        _wire(self.client, CLIENTS, self.firewall, "inside", INNER)
        _wire(self.server, SERVERS, self.firewall, "outside", OUTER)
        for ns in self.all:
            keep_gre_open(ns)

    def take_frames(self):
        """The firewall's devices hand frames to the stack. (A veth whose other end has neither XDP nor GRO drops the
        frames that are redirected to it, and says nothing.)"""
        for device in ("inside", "outside"):
            _gro_on(self.firewall, device)

    def send_frames(self):
        """The firewall's devices take frames from native XDP, as their other ends will."""
        for end in (self.client, self.server):
            _gro_on(end, "eth0")

    def close(self):
        for ns in reversed(self.all):
            ns.close()


def path(ns, device=None):
    return f"{NETNS_DIR}/{ns.name}" + (f":{device}" if device else "")


def mac(ns, device):
    return json.loads(ip("-n", ns.name, "-j", "link", "show", "dev", device))[0]["address"]


def _wire(host, addresses, firewall, device, gateway):
    one_queue = ["numtxqueues", 1, "numrxqueues", 1]
    ip("link", "add", "eth0", "netns", host.name, *one_queue, "type", "veth",
       "peer", "name", device, "netns", firewall.name, *one_queue)
    firewall.address(device, f"{gateway}/24")
    for address in addresses:
        host.address("eth0", f"{address}/24")
    host.route("default", gateway)


def _gro_on(ns, device):
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_SGRO, 1))
    request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
    with ns, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, request)
