#!/usr/bin/python3
"""A call that goes on beside whatever a test does, and how it fares: each packet and message is numbered and timed.

    with World(clients=2) as world, Bystander(world, client=1) as bystander:
        ...                          # the attack, from the other client
        fared = bystander.stop()     # .packets.sent .arrived .lost .p99 .worst, the same of .messages; .wait

Until it is closed, its packets are kept from the world's own GRE sockets, and its streams are its own.

A process of its own sends a packet each way every few milliseconds, and an Echo-Request each way now and then, so that
the test's own work does not disturb it. Packets are timed by the kernel when they reach the other end's socket, and
those sockets are filtered by call ID: what is measured is the way by the proxy, not the ends. The process's own time is
given a higher priority than the rest for the same reason.

How late a packet is depends on the machine as well, and on what else it does: .wait is for how many seconds a thread of
the program was ready to go on and had no processor, at most at once.
"""

import ctypes
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import messages  # noqa: E402
from lab.messages import ECHO_RQ, build  # noqa: E402

PERIOD = 0.004  # between packets of one way
MESSAGE_EACH = 5  # packets
QUIET = 2.0  # seconds without an arrival, at the end: what is missing is lost
MAGIC = b"bystander"
PAYLOAD = struct.Struct("!9sBIq")  # magic, way, number, time sent
UP, DOWN = 0, 1
SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_TIMESTAMPNS, SO_RCVBUFFORCE = 26, 27, 35, 33


def _filter(sock, call_id, own=True):
    """Only enhanced GRE with this call ID comes in, as what else comes to the host must not fill the socket; or anything
    but that, where it is not the bystander's own."""
    yes, no = (0xFFFF, 0) if own else (0, 0xFFFF)
    code = [(0xB1, 0, 0, 0),  # x = length of the IP header
            (0x48, 0, 0, 2), (0x15, 0, 3, messages.GRE_PROTOCOL),  # GRE's protocol type
            (0x48, 0, 0, 6), (0x15, 0, 1, call_id),
            (0x06, 0, 0, yes), (0x06, 0, 0, no)]
    octets = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in code))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(code), ctypes.addressof(octets)))


def _raw(ns, call_id):
    with ns:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_GRE)
    _filter(sock, call_id)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setblocking(False)
    return sock


# ---- the test's side ----


class Fared:
    """sent, arrived, lost; doubled, disordered; p99 and worst: seconds on the way."""

    def __init__(self, figures):
        self.__dict__.update(figures)
        self.lost = self.sent - self.arrived

    def __repr__(self):
        return (f"{self.sent} sent, {self.lost} lost, {self.doubled} doubled, {self.disordered} disordered, "
                f"99 % within {self.p99 * 1000:.1f} ms, worst {self.worst * 1000:.1f} ms")


class Result:
    def __init__(self, figures):
        self.packets, self.messages, self.wait = Fared(figures["packets"]), Fared(figures["messages"]), figures["wait"]


class Bystander:
    def __init__(self, world, client=1, server=0, client_id=1111, server_id=2222):
        session = world.session(client, server)
        call = session.call(client_id, server_id)
        self.session, self.call, self._result = session, call, None
        raws = [_raw(world.clients[client].ns, client_id), _raw(world.servers[server].ns, server_id)]
        self.theirs = [world.clients[client].gre.sock, world.servers[server].gre.sock]
        for sock, call_id in zip(self.theirs, (client_id, server_id)):
            _filter(sock, call_id, own=False)
        streams = [session.client.sock, session.server.sock]
        fds = [sock.fileno() for sock in raws + streams]
        job = {"fds": fds, "to": [session.client.remote[0], session.server.remote[0]],
               "ids": [call.client_sees, call.server_sees],
               "threads": [f"/proc/{pid}/task/{thread}/schedstat" for pid in world.net.firewall.pids()
                           for thread in os.listdir(f"/proc/{pid}/task")]}
        self.process = subprocess.Popen([sys.executable, __file__, json.dumps(job)], pass_fds=fds, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        for sock in raws:
            sock.close()
        assert self.process.stdout.readline() == "goes\n", "the bystander's packets do not arrive"

    def stop(self):
        """How it fared."""
        if not self._result:
            said, _ = self.process.communicate(timeout=60)
            assert self.process.returncode == 0, f"the bystander ended with {self.process.returncode}"
            self._result = Result(json.loads(said))
        return self._result

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for sock in self.theirs:
            sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


# ---- the process ----


class Count:
    def __init__(self):
        self.sent, self.delays, self.last = 0, {}, {}
        self.doubled = self.disordered = 0

    def arrived(self, way, number, delay):
        self.doubled += (way, number) in self.delays
        self.disordered += number < self.last.get(way, 0)
        self.last[way] = number
        self.delays[way, number] = delay

    def figures(self):
        delays = sorted(self.delays.values())
        return {"sent": self.sent, "arrived": len(delays), "doubled": self.doubled, "disordered": self.disordered,
                "p99": delays[len(delays) * 99 // 100] if delays else 0, "worst": delays[-1] if delays else 0}


class Waits:
    """How long threads waited for a processor, at most at once. Each file has that as a sum, the second number, in ns."""

    def __init__(self, paths):
        self.files, self.sums, self.longest = [open(path, "rb", buffering=0) for path in paths], {}, 0

    def look(self):
        for file in list(self.files):
            try:
                file.seek(0)
                waited = int(file.read(100).split()[1])
            except (OSError, IndexError):  # the thread has ended
                self.files.remove(file)
                continue
            self.longest = max(self.longest, waited - self.sums.get(file, waited))
            self.sums[file] = waited


class Ends:
    def __init__(self, job):
        socks = [socket.socket(fileno=fd) for fd in job["fds"]]
        self.raws, self.streams = socks[:2], socks[2:]  # the client's, the server's
        self.to, self.ids = job["to"], job["ids"]
        self.packets, self.messages, self.waits = Count(), Count(), Waits(job["threads"])
        self.number, self.sent_at, self.buffers = 0, {}, [bytearray(), bytearray()]
        for sock in self.streams:
            sock.setblocking(False)

    def send(self):
        self.number += 1
        self.waits.look()
        for way in (UP, DOWN):
            payload = PAYLOAD.pack(MAGIC, way, self.number, time.time_ns()) + bytes(100)
            try:
                self.raws[way].sendto(messages.gre(self.ids[way], payload, seq=self.number), (self.to[way], 0))
                self.packets.sent += 1
            except BlockingIOError:
                pass
            if self.number % MESSAGE_EACH == 0:
                identifier = way << 31 | self.number
                self.sent_at[identifier] = time.monotonic()
                self.streams[way].send(build(ECHO_RQ, identifier=identifier))
                self.messages.sent += 1

    def take_packets(self, sock):
        try:
            while True:
                octets, ancillary, _, _ = sock.recvmsg(2048, 256)
                packet = messages.Packet(octets)
                if not packet.payload.startswith(MAGIC):
                    continue
                _, way, number, sent_at = PAYLOAD.unpack_from(packet.payload)
                seconds, nanoseconds = struct.unpack_from("@qq", ancillary[0][2])
                self.packets.arrived(way, number, (seconds * 10**9 + nanoseconds - sent_at) / 1e9)
        except BlockingIOError:
            pass

    def take_messages(self, end):
        buffer, now = self.buffers[end], time.monotonic()
        octets = self.streams[end].recv(65536)
        assert octets, "the bystander's control connection has ended"
        buffer += octets
        while len(buffer) >= 16:
            message = messages.Message(bytes(buffer[:16]))
            assert message.type == ECHO_RQ, message
            del buffer[:16]
            self.messages.arrived(message.identifier >> 31, message.identifier & 0x7FFFFFFF,
                                  now - self.sent_at[message.identifier])

    def all_there(self):
        return all(count.sent == len(count.delays) for count in (self.packets, self.messages))

    def take(self, timeout, also=()):
        """Takes what comes within this time at most; answers what was ready, of these files too."""
        ready, _, _ = select.select([*self.raws, *self.streams, *also], [], [], max(timeout, 0))
        for sock in ready:
            if sock in self.raws:
                self.take_packets(sock)
            elif sock in self.streams:
                self.take_messages(self.streams.index(sock))
        return ready


def main():
    ends = Ends(json.loads(sys.argv[1]))
    os.nice(-10)
    over, said, due = False, False, time.monotonic()
    while not over:  # until the end of standard input
        if time.monotonic() >= due:
            ends.send()
            due = max(due + PERIOD, time.monotonic())
        over = sys.stdin in ends.take(due - time.monotonic(), [sys.stdin])
        if not said and len(ends.packets.last) == 2:
            said = True
            print("goes", flush=True)
    last = time.monotonic()
    while not ends.all_there() and time.monotonic() - last < QUIET:
        if ends.take(0.1):
            last = time.monotonic()
    print(json.dumps({"packets": ends.packets.figures(), "messages": ends.messages.figures(),
                      "wait": ends.waits.longest / 1e9}))


if __name__ == "__main__":
    main()
