#!/usr/bin/python3
"""--capture: what is in the file, as tshark reads it; its files; and what it does to calls: nothing."""

import os
import shutil
import stat
import struct
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, turmoil
from lab.fake import PATIENCE, World
from lab.messages import CCRQ, CDN, ECHO_RQ, ECHO_RP, OCRP, OCRQ, SCCRP, SCCRQ, WEN, build
from lab.netns import RUN_PREFIX
from lab.proc import wait_until
from lab.shark import Capture, Message, Packet

BEGINS = r"capture .*: begins"
ENDS = r"capture .*: ends: (\d+) packets by this worker, (\d+) lost"


class Place:
    """A directory for captures."""

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
        return self

    def __truediv__(self, name):
        return str(self.path / name)

    def __exit__(self, *exc):
        shutil.rmtree(self.path, ignore_errors=True)


def end(world):
    """The program's end, after which all has been written. The streams first, as World does it."""
    for host in world.clients + world.servers:
        for stream in host.streams:
            stream.close()
    world.proxy.stop()


def packets_of(call, seq, length=16):
    """What a packet each way is in a capture."""
    s = call.session
    client, inside = s.client.local[0], s.client.remote[0]
    outside, server = s.server.remote[0], s.server.local[0]
    return [
        Packet(client, inside, call.client_sees, seq, length), Packet(outside, server, call.server_id, seq, length),
        Packet(server, outside, call.server_sees, seq, length), Packet(inside, client, call.client_id, seq, length),
    ]


def lcp(seq, length=16):
    """An LCP Echo-Request of that many octets, which differs from others: nothing for tshark to complain about."""
    return struct.pack("!BBHBBHI", 0xFF, 3, 0xC021, 9, seq & 0xFF, length - 4, seq) + bytes(length - 12)


def exchange(call, seq, length=16):
    payload = lcp(seq, length)
    call.up(payload, seq)
    call.expect_up(payload)
    call.down(payload, seq)
    call.expect_down(payload)


def test_messages_and_packets_on_both_sides():
    "messages and packets of a call are in the file as they were on each side, with both sides' IDs, and nothing else is"
    with Place() as place, World(["--capture", place / "x.pcap"]) as world:
        world.session().call(5, 7, settle=False)
        session = world.session()
        call = session.call(5, 7, settle=False)
        assert call.server_sees != 5 and call.client_sees != 7
        session.check()
        exchange(call, 1)
        exchange(call, 2, 1400)
        call.clear()
        end(world)
        capture = Capture(place / "x.pcap")
        capture.check()
        assert capture.packets() == packets_of(call, 1) + packets_of(call, 2, 1400)
        client, inside = session.client.local[0], session.client.remote[0]
        outside, server = session.server.remote[0], session.server.local[0]

        def passed_up(kind, received, sent):
            return [Message(client, inside, kind, *received), Message(outside, server, kind, *sent)]

        def passed_down(kind, received, sent):
            return [Message(server, outside, kind, *received), Message(inside, client, kind, *sent)]

        none = (None, None)
        assert capture.messages()[8:] == [
            *passed_up(SCCRQ, none, none), *passed_down(SCCRP, none, none),
            *passed_up(OCRQ, (5, None), (call.server_sees, None)),
            *passed_down(OCRP, (7, call.server_sees), (call.client_sees, 5)),
            *passed_up(ECHO_RQ, none, none), *passed_down(ECHO_RQ, none, none),
            *passed_up(CCRQ, (5, None), (call.server_sees, None)),
            *passed_down(CDN, (7, None), (call.client_sees, None)),
        ]


if __name__ == "__main__":
    tap.main()
