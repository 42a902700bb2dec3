"""Captures, read by tshark.

    capture = shark.Capture(path)
    capture.messages()          # [Seen(source, destination, type, call_id, peer_id)], in the file's order
    capture.packets()           # [Seen(source, destination, call_id, seq, length)], enhanced GRE
    capture.check()             # nothing malformed, all checksums right, TCP without complaint
    capture.whole()             # does it end behind a record?
"""

import struct
import subprocess
from collections import namedtuple

from .netns import need

Message = namedtuple("Message", "source destination type call_id peer_id")
Packet = namedtuple("Packet", "source destination call_id seq length")
CHECKS = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
# A checksum's status is 0 where it is bad, 2 where it was not looked at.
WRONG = ("_ws.malformed || tcp.analysis.flags || (ip.checksum.status && ip.checksum.status != 1) "
         "|| (tcp.checksum.status && tcp.checksum.status != 1) || _ws.expert.severity >= \"Warning\"")
HEADER, RECORD = struct.Struct("<IHHiIII"), struct.Struct("<IIII")


def _number(text):
    return int(text, 0) if text else None


class Capture:
    """whole: False where the file may end in half a record, as that of a disk that was full."""

    def __init__(self, path, port=1723, whole=True):
        need("tshark")
        self.path, self.port, self.accepts = path, port, (0,) if whole else (0, 2)

    def tshark(self, *words):
        done = subprocess.run(["tshark", "-n", "-r", self.path, "-d", f"tcp.port=={self.port},pptp", *CHECKS, *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode in self.accepts, f"tshark {' '.join(words)}: {done.returncode}: {done.stderr}"
        return done.stdout.splitlines()

    def fields(self, what, *names):
        words = [word for name in names for word in ("-e", name)]
        return [line.split("\t") for line in self.tshark("-Y", what, "-T", "fields", "-E", "occurrence=a", *words)]

    def messages(self):
        """Those of one frame each, which is how they are captured."""
        rows = self.fields("pptp", "ip.src", "ip.dst", "pptp.control_message_type", "pptp.call_id", "pptp.peer_call_id")
        return [Message(row[0], row[1], *map(_number, row[2:])) for row in rows]

    def packets(self):
        rows = self.fields("gre", "ip.src", "ip.dst", "gre.key.call_id", "gre.sequence_number", "gre.key.payload_length")
        return [Packet(row[0].split(",")[0], row[1].split(",")[0], *map(_number, row[2:])) for row in rows]

    def flags(self, stream=None):
        """(source, source's port, flags) of segments."""
        what = "tcp" if stream is None else f"tcp.stream == {stream}"
        return [tuple(row) for row in self.fields(what, "ip.src", "tcp.srcport", "tcp.flags")]

    def check(self):
        wrong = self.tshark("-Y", WRONG)
        assert not wrong, "\n".join(wrong)
        assert self.whole(), f"{self.path}: half a record at its end"

    def records(self):
        """(time, octets) of each packet; the file as it is, without tshark."""
        with open(self.path, "rb") as file:
            first = file.read(HEADER.size)
            assert len(first) == HEADER.size, "not even a file's header"
            header = HEADER.unpack(first)
            assert header[0] == 0xA1B2C3D4 and header[6] == 101, header  # raw IP
            while True:
                head = file.read(RECORD.size)
                if not head:
                    return
                assert len(head) == RECORD.size, "half a record's head"
                seconds, micros, length, _ = RECORD.unpack(head)
                octets = file.read(length)
                assert len(octets) == length, "half a record"
                yield seconds + micros / 1e6, octets

    def whole(self):
        try:
            return sum(1 for _ in self.records()) >= 0
        except AssertionError:
            return False
