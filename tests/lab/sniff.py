"""What really went over a wire: IP packets as one device of a namespace saw them.

    with Sniffer(net.server, "eth0") as wire:
        ...
        wire.wait(lambda packet: packet.protocol == 47 and packet.offset, 5)
        wire.all()
"""

import errno
import socket
import struct
import time

from .errors import LabTimeout
from .messages import Packet
from .proc import PATIENCE

ETH_P_IP = 0x0800
PACKET_OUTGOING = 4
SO_RCVBUFFORCE = 33


class Seen(Packet):
    """One IP packet or fragment; .out: this host sent it."""

    def __init__(self, octets, out):
        super().__init__(octets)
        self.out = out
        if self.protocol == 6 and not self.offset:
            self.source_port, self.destination_port = struct.unpack_from("!HH", self.octets)
            self.data = self.octets[(self.octets[12] >> 4) * 4:self.total - (octets[0] & 15) * 4]
        if self.protocol == 1:
            self.icmp = tuple(self.octets[:2])  # type and code


class Sniffer:
    def __init__(self, ns, device):
        self.name = f"{ns.name} {device}"
        with ns:
            # ETH_P_ALL sees what leaves, too; the protocol is looked at below.
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, socket.htons(3))
            self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
            self.sock.bind((device, 3))
        self._seen = []

    def _take(self, timeout):
        self.sock.settimeout(max(timeout, 0.001))
        try:
            octets, address = self.sock.recvfrom(65536)
        except (socket.timeout, BlockingIOError):
            return False
        except OSError as error:
            if error.errno != errno.ENETDOWN:  # told once; it may come up again
                raise
            return True
        if address[1] == ETH_P_IP and len(octets) >= 20:
            self._seen.append(Seen(octets, address[2] == PACKET_OUTGOING))
        return True

    def all(self):
        """Every packet so far."""
        while self._take(0):
            pass
        return list(self._seen)

    def matching(self, condition):
        return [packet for packet in self.all() if condition(packet)]

    def wait(self, condition, timeout=PATIENCE):
        """The first packet, early or late, for which condition(packet) is true."""
        deadline, at = time.monotonic() + timeout, 0
        while True:
            while at < len(self._seen):
                at += 1
                if condition(self._seen[at - 1]):
                    return self._seen[at - 1]
            if time.monotonic() >= deadline:
                raise LabTimeout(f"{self.name}: no such packet among {len(self._seen)} within {timeout:g} s")
            self._take(deadline - time.monotonic())

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
