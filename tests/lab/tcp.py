"""What the kernel tells about the proxy's TCP sockets: state, queues, options; and ways that are full.

    tcp.leg(net.firewall, session.client).receive_queue        # of the proxy's end of that stream
    with tcp.borrow(world.proxy.pid, session.client) as sock:  # the same as a socket of ours
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    [(sent, rest)] = tcp.fill(world.proxy, [(session.client, session.server)], octets)
"""

import ctypes
import errno
import os
import socket
import struct
from dataclasses import dataclass

from . import tap, watch
from .errors import Skip
from .proc import wait_until

CLOSE_WAIT = 8  # of .state: the peer has closed
SYS_pidfd_getfd = 438  # the same on every machine
MIB = 1 << 20


@dataclass(frozen=True)
class Socket:
    state: int
    send_queue: int  # octets that the peer has not acknowledged
    receive_queue: int  # octets that the program has not read


def _address(text):
    address, port = text.split(":")
    return socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16)


def sockets(ns):
    """{(local address, remote address): Socket} of a namespace."""
    with ns, open("/proc/thread-self/net/tcp") as table:
        rows = [row.split() for row in table.read().splitlines()[1:]]
    found = {}
    for row in rows:
        local, remote = _address(row[1]), _address(row[2])
        send_queue, receive_queue = (int(word, 16) for word in row[4].split(":"))
        found[local, remote] = Socket(int(row[3], 16), send_queue, receive_queue)
    return found


def leg(ns, stream):
    """The other end of a fake peer's stream, in the proxy's namespace; None if there is none."""
    return sockets(ns).get((stream.remote, stream.local))


def _duplicate(pidfd, number):
    fd = ctypes.CDLL(None, use_errno=True).syscall(SYS_pidfd_getfd, pidfd, number, 0)
    if fd >= 0:
        return fd
    code = ctypes.get_errno()
    if code in (errno.EPERM, errno.ENOSYS):
        raise Skip(f"pidfd_getfd: {os.strerror(code)}")
    raise OSError(code, os.strerror(code))


def borrow(pid, stream):
    """The process's end of a fake peer's stream as a socket of ours: the same one, so close it soon."""
    pidfd = os.pidfd_open(pid)
    try:
        for number in map(int, os.listdir(f"/proc/{pid}/fd")):
            if not os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
                continue
            sock = socket.socket(fileno=_duplicate(pidfd, number))
            try:
                if sock.family == socket.AF_INET and (sock.getsockname(), sock.getpeername()) == (
                        stream.remote, stream.local):
                    return sock
            except OSError:  # not connected
                pass
            sock.close()
    finally:
        os.close(pidfd)
    raise AssertionError(f"process {pid} has no end of {stream.name}")


class _Way:
    """What one peer sends by way of the proxy to another one that does not read."""

    def __init__(self, sender, receiver, octets, limit):
        self.sender, self.receiver, self.octets, self.limit = sender, receiver, octets, limit
        self.sent, self.rest, self.seen = 0, b"", None
        sender.sock.setblocking(False)

    def push(self):
        """Send as much as goes in; answers whether any did."""
        before = self.sent
        try:
            while True:
                self.rest = self.rest or self.octets * max(65536 // len(self.octets), 1)
                done = self.sender.sock.send(self.rest)
                self.rest = self.rest[done:]
                self.sent += done
                assert self.sent < self.limit, f"{self.sent} octets went in: nothing held {self.sender.name} back"
        except BlockingIOError:
            pass
        return self.sent > before

    def full(self, table):
        """Nothing goes in, octets wait at each step of the way, and they are the same ones as at the last look."""
        went = self.push()
        into = table.get((self.sender.remote, self.sender.local))
        out = table.get((self.receiver.remote, self.receiver.local))
        before, self.seen = self.seen, (into and into.receive_queue, out and out.send_queue)
        return not went and all(self.seen) and self.seen == before


def fill(proxy, ways, octets, limit=64 * MIB, timeout=60):
    """Have the first of each pair of streams send these octets, over and over, until the way to the second one is
    full. Fails if more than the limit goes in.

    Full is: the sender's socket takes nothing, the proxy leaves what came to it in its socket, as the peer does not
    acknowledge what it sent on, and the control thread sleeps, so it has seen all that. (A thread that only waits for
    its turn on a busy machine would look the same by its queues.)

    Returns for each pair how many octets went in, and the rest of what was begun.
    """
    all_ways = [_Way(sender, receiver, octets, limit) for sender, receiver in ways]

    pid = proxy.worker

    def asleep():
        return watch.stat(pid)[0] == "S"

    def full():
        slept, table = asleep(), sockets(proxy.ns)
        steady = [way.full(table) for way in all_ways]
        return all(steady) and slept and asleep()

    wait_until(full, timeout * tap.slowdown(), "the way to be full")
    return [(way.sent, way.rest) for way in all_ways]
