"""The table tests/golden/packets.txt, and IP packets made comparable.

    for row in golden.rows(shown={"f1f2": call.client_sees, "e1e2": call.server_sees}):
        row.title, row.verdict ("fast", "raw", "none"), row.side, row.ins, row.outs
"""

import re
import struct
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "golden/packets.txt"
MACS = {"client": "02:00:00:00:01:0a", "inside": "02:00:00:00:01:01",
        "outside": "02:00:00:00:02:01", "server": "02:00:00:00:02:0a"}
CLIENT_ID, SERVER_ID = 0x0A0B, 0x0C0D
MTU_OUTSIDE = 1400
ETHERNET = 14
DF = 0x4000


class Row:
    def __init__(self, title):
        self.title, self.verdict, self.side, self.ins, self.outs = title, None, None, [], []


def _octets(words):
    octets = b""
    for word in words:
        text, _, times = word.partition("*")
        octets += bytes.fromhex(text) * int(times or 1)
    return octets


def rows(shown):
    """shown: what stands in the table for the IDs that the ends are shown, and what they are really."""
    found = []
    for line in TABLE.read_text().splitlines():
        keyword, _, rest = line.partition(" ")
        if keyword == "row":
            found.append(Row(rest))
        elif keyword == "in":
            found[-1].side, *words = rest.split()
            found[-1].ins.append(_with_ids(_octets(words), shown))
        elif keyword == "out":
            found[-1].outs.append(_octets(rest.split()))
        elif keyword in ("fast", "raw", "none"):
            found[-1].verdict = keyword
    return found


def _with_ids(frame, shown):
    return re.sub(b"|".join(re.escape(bytes.fromhex(text)) for text in shown),
                  lambda match: struct.pack("!H", shown[match[0].hex()]), frame)


def end_of(frame):
    """"client" or "server": to whom it is addressed."""
    return next(name for name, mac in MACS.items() if bytes.fromhex(mac.replace(":", "")) == frame[:6])


def _sum(header):
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def comparable(frame):
    """The frame up to its IP packet's end, without identification and DF, its checksum found right and left out."""
    header, total = frame[ETHERNET:ETHERNET + 20], struct.unpack_from("!H", frame, ETHERNET + 2)[0]
    assert _sum(header) == 0xFFFF, f"a wrong IP checksum left: {frame.hex()}"
    flags = struct.unpack_from("!H", header, 6)[0] & ~DF
    header = header[:4] + struct.pack("!HH", 0, flags) + header[8:10] + bytes(2) + header[12:]
    return (frame[:ETHERNET] + header + frame[ETHERNET + 20:ETHERNET + total]).hex()
