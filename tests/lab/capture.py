"""Captures as tcpdump would write them, of what devices of a namespace see.

    with Capture((net.firewall, "inside"), (net.firewall, "outside")) as capture:
        ...
        capture.save(path)

The kernel stamps and keeps the packets, so there is no second process that might miss some.
"""

import socket
import struct
import time

from .proc import wait_until

SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
ETHERNET, RAW_IP, COOKED = 1, 101, 113
MAGIC = 0xA1B2C3D4


def pcap(frames, link=ETHERNET, snaplen=262144):
    """A file's octets, of (seconds, octets)."""
    parts = [struct.pack("=IHHiIII", MAGIC, 2, 4, 0, 0, snaplen, link)]
    for time, frame in frames:
        cut = frame[:snaplen]
        parts += [struct.pack("=IIII", int(time), int(time % 1 * 1e6), len(cut), len(frame)), cut]
    return b"".join(parts)


def as_link(frame, link):
    """An Ethernet frame as another link has it."""
    if link == RAW_IP:
        return frame[14:]
    if link == COOKED:
        return struct.pack("!HHH", 0, 1, 6) + frame[6:12] + bytes(2) + frame[12:]
    return frame


def stamp_of(ancillary):
    """When a packet came, in seconds."""
    [stamp] = [data for level, kind, data in ancillary if kind == SO_TIMESTAMPNS]
    seconds, nanoseconds = struct.unpack("qq", stamp)
    return seconds + nanoseconds / 1e9


class _Stamps:
    """The kernel stamps packets only while a socket wants it, and begins some time after the first one does; a packet that came
    before gets the time at which it is read. So one stays open, and its first packets are looked at."""

    sock = None

    @classmethod
    def want(cls):
        if cls.sock:
            return
        cls.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        cls.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        cls.sock.bind(("127.0.0.1", 0))
        wait_until(cls._came_when_it_came, what="the kernel to stamp packets")

    @classmethod
    def _came_when_it_came(cls):
        cls.sock.sendto(b"", cls.sock.getsockname())
        sent = time.time()
        while time.time() < sent + 0.001:
            pass
        return stamp_of(cls.sock.recvmsg(1, 256)[1]) <= sent


class Capture:
    def __init__(self, *devices):
        self._sockets, self._seen = [], []
        _Stamps.want()
        for ns, device in devices:
            with ns:
                sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(3))
            self._sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.bind((device, 3))
            sock.setblocking(False)

    def frames(self):
        """(seconds, octets) of all Ethernet frames until now, in order."""
        for sock in self._sockets:
            while True:
                try:
                    frame, ancillary, _, _ = sock.recvmsg(1 << 17, 256)
                except BlockingIOError:
                    break
                self._seen.append((stamp_of(ancillary), frame))
        self._seen.sort(key=lambda one: one[0])
        return list(self._seen)

    def forget(self):
        """What was until now is not in it."""
        self.frames()
        self._seen.clear()

    def save(self, path, link=ETHERNET, snaplen=262144, keep=lambda frame: True):
        """Writes them; those for which keep(frame) is false are left out. Returns the path."""
        frames = [(time, as_link(frame, link)) for time, frame in self.frames() if keep(frame)]
        path.write_bytes(pcap(frames, link, snaplen))
        return path

    def close(self):
        for sock in self._sockets:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
