"""What the kernel tells about a namespace's TCP sockets: states, queues, timers; and ways that are full.

    one = tcp.find(net.firewall, local=("10.1.0.1", 1723), remote=("10.1.0.10", 40000))
    one.state, one.receive_queue, one.send_queue, one.timer, one.timer_in
    [(sent, rest)] = tcp.fill(world.proxy, [(session.client, session.server)], octets)
"""

import os
import socket
import struct
from dataclasses import dataclass

from . import tap, watch
from .proc import wait_until

ESTABLISHED, CLOSE_WAIT = 1, 8
KEEPALIVE = 2  # of .timer; 0 none, 1 retransmission, 4 probe of a window
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


@dataclass(frozen=True)
class Socket:
    local: tuple
    remote: tuple
    state: int
    send_queue: int  # octets that the peer has not acknowledged
    receive_queue: int  # octets that the program has not read
    timer: int
    timer_in: float  # seconds until it fires


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
        timer, ticks = (int(word, 16) for word in row[5].split(":"))
        found[local, remote] = Socket(local, remote, int(row[3], 16), send_queue, receive_queue, timer, ticks / TICKS)
    return found


def find(ns, local, remote):
    """The one between these addresses, or None."""
    return sockets(ns).get((local, remote))


def leg(ns, stream):
    """The other end of a fake peer's stream: the proxy's, in its namespace."""
    return find(ns, stream.remote, stream.local)


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

    def asleep():
        return watch.stat(proxy.pid)[0] == "S"

    def full():
        slept, table = asleep(), sockets(proxy.ns)
        steady = [way.full(table) for way in all_ways]
        return all(steady) and slept and asleep()

    wait_until(full, timeout * tap.slowdown(), "the way to be full")
    return [(way.sent, way.rest) for way in all_ways]
