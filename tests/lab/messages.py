"""PPTP's octets, built and taken apart (RFC 2637): all 15 control messages and enhanced GRE packets.

    request = messages.build(OCRQ, call_id=5)        # the other fields have usual values
    message = messages.Message(octets)               # .type .name .length .call_id .peer_id .result ...
    packet = messages.gre(7, b"payload", seq=1, ack=4)

Nothing is checked on the way out, so lies are made by giving a field a wrong value: build(ECHO_RQ,
cookie=1, length=11, message_type=2, reserved0=9, tail=b"more").
"""

import struct

PORT = 1723
COOKIE = 0x1A2B3C4D
HEADER = struct.Struct("!HHIHH")

(SCCRQ, SCCRP, STOP_RQ, STOP_RP, ECHO_RQ, ECHO_RP, OCRQ, OCRP, ICRQ, ICRP, ICCN, CCRQ, CDN, WEN, SLI) = range(1, 16)
TYPES = range(1, 16)

_TABLE = {
    SCCRQ: ("Start-Control-Connection-Request",
            "version:H reserved1:H framing:I bearer:I max_channels:H firmware:H host:64s vendor:64s"),
    SCCRP: ("Start-Control-Connection-Reply",
            "version:H result:B error:B framing:I bearer:I max_channels:H firmware:H host:64s vendor:64s"),
    STOP_RQ: ("Stop-Control-Connection-Request", "reason:B reserved1:B reserved2:H"),
    STOP_RP: ("Stop-Control-Connection-Reply", "result:B error:B reserved2:H"),
    ECHO_RQ: ("Echo-Request", "identifier:I"),
    ECHO_RP: ("Echo-Reply", "identifier:I result:B error:B reserved1:H"),
    OCRQ: ("Outgoing-Call-Request",
           "call_id:H serial:H min_bps:I max_bps:I bearer:I framing:I window:H delay:H phone_length:H reserved1:H "
           "phone:64s subaddress:64s"),
    OCRP: ("Outgoing-Call-Reply",
           "call_id:H peer_id:H result:B error:B cause:H speed:I window:H delay:H channel:I"),
    ICRQ: ("Incoming-Call-Request",
           "call_id:H serial:H bearer:I channel:I dialed_length:H dialing_length:H dialed:64s dialing:64s subaddress:64s"),
    ICRP: ("Incoming-Call-Reply", "call_id:H peer_id:H result:B error:B window:H delay:H reserved1:H"),
    ICCN: ("Incoming-Call-Connected", "peer_id:H reserved1:H speed:I window:H delay:H framing:I"),
    CCRQ: ("Call-Clear-Request", "call_id:H reserved1:H"),
    CDN: ("Call-Disconnect-Notify", "call_id:H result:B error:B cause:H reserved1:H statistics:128s"),
    WEN: ("WAN-Error-Notify",
          "peer_id:H reserved1:H crc:I framing:I hardware:I buffer:I timeout:I alignment:I"),
    SLI: ("Set-Link-Info", "peer_id:H reserved1:H send_accm:I receive_accm:I"),
}
# What a real end says where the test does not care. Not zero: an octet that gets lost must be missed.
_USUAL = {
    "version": 0x0100, "framing": 3, "bearer": 3, "max_channels": 0x0102, "firmware": 0x0304,
    "host": b"host-of-the-lab", "vendor": b"vendor-of-the-lab", "result": 1, "reason": 1, "identifier": 0x01020304,
    "serial": 0x0506, "min_bps": 2400, "max_bps": 10000000, "window": 64, "delay": 3, "phone_length": 5,
    "phone": b"12345", "subaddress": b"sub", "speed": 64000, "channel": 0x0708090A, "dialed": b"67890",
    "dialing": b"54321", "dialed_length": 5, "dialing_length": 5, "cause": 0x0B0C, "statistics": b"in 1 out 2",
    "crc": 1, "hardware": 2, "buffer": 3, "timeout": 4, "alignment": 5, "send_accm": 0xFFFFFFFF,
    "receive_accm": 0x000A0000,
}


def _layout(text):
    words = [word.split(":") for word in text.split()]
    return [name for name, _ in words], struct.Struct("!" + "".join(code for _, code in words))


_FIELDS = {kind: _layout(text) for kind, (_, text) in _TABLE.items()}
LENGTH = {kind: HEADER.size + layout.size for kind, (_, layout) in _FIELDS.items()}


def name(kind):
    return _TABLE[kind][0] if kind in _TABLE else f"type {kind}"


def build(kind, length=None, message_type=1, cookie=COOKIE, reserved0=0, tail=b"", **fields):
    """The octets of a message. An unknown type has only a header and its tail."""
    body = b""
    if kind in _FIELDS:
        names, layout = _FIELDS[kind]
        unknown = set(fields) - set(names)
        assert not unknown, f"{name(kind)} has no {unknown}"
        body = layout.pack(*(fields.get(field, _USUAL.get(field, 0)) for field in names))
    body += tail
    length = HEADER.size + len(body) if length is None else length
    return HEADER.pack(length, message_type, cookie, kind, reserved0) + body


class Message:
    """One received message; its fields are attributes."""

    def __init__(self, octets):
        self.octets = bytes(octets)
        self.length, self.message_type, self.cookie, self.type, self.reserved0 = HEADER.unpack_from(octets)
        self.name = name(self.type)
        names, layout = _FIELDS.get(self.type, ((), None))
        if layout and len(octets) >= HEADER.size + layout.size:
            for field, value in zip(names, layout.unpack_from(octets, HEADER.size)):
                setattr(self, field, value.rstrip(b"\0") if isinstance(value, bytes) else value)

    def __eq__(self, other):
        return self.octets == (other.octets if isinstance(other, Message) else other)

    def __repr__(self):
        ids = [f"{field}={getattr(self, field)}" for field in ("call_id", "peer_id", "result", "identifier", "reason")
               if hasattr(self, field)]
        return f"<{' '.join([self.name, *ids])}>"


# ---- enhanced GRE ----

GRE_PROTOCOL = 0x880B
FLAG_K, FLAG_S, FLAG_A, VERSION_1 = 0x2000, 0x1000, 0x0080, 0x0001


def gre(call_id, payload=b"", seq=None, ack=None, trailing=b"", flags=0, clear=0, protocol=GRE_PROTOCOL, length=None):
    """The octets of a packet, behind the IP header. flags and clear: bits set or cleared besides
    what seq and ack make of them."""
    bits = FLAG_K | VERSION_1 | (FLAG_S if seq is not None else 0) | (FLAG_A if ack is not None else 0)
    octets = struct.pack("!HHHH", (bits | flags) & ~clear, protocol, len(payload) if length is None else length, call_id)
    for number in (seq, ack):
        if number is not None:
            octets += struct.pack("!I", number)
    return octets + payload + trailing


class Packet:
    """An IP packet with enhanced GRE inside, as a raw socket hands it out: put together again, the
    IP header in front."""

    def __init__(self, octets):
        ip_header = (octets[0] & 15) * 4
        self.tos, self.total = octets[1], struct.unpack_from("!H", octets, 2)[0]
        self.identification, fragment = struct.unpack_from("!HH", octets, 4)
        self.df, self.mf, self.offset = bool(fragment & 0x4000), bool(fragment & 0x2000), (fragment & 0x1FFF) * 8
        self.ttl, self.protocol = octets[8], octets[9]
        self.source, self.destination = (".".join(map(str, octets[at:at + 4])) for at in (12, 16))
        self.octets = bytes(octets[ip_header:])
        self.seq = self.ack = self.call_id = None
        self.payload = self.trailing = b""
        if self.protocol == 47 and not self.offset and len(self.octets) >= 8:
            self._parse_gre()

    def _parse_gre(self):
        self.flags, self.gre_protocol, self.length, self.call_id = struct.unpack_from("!HHHH", self.octets)
        at = 8
        for flag, field in ((FLAG_S, "seq"), (FLAG_A, "ack")):
            if self.flags & flag and len(self.octets) >= at + 4:
                setattr(self, field, struct.unpack_from("!I", self.octets, at)[0])
                at += 4
        self.payload, self.trailing = self.octets[at:at + self.length], self.octets[at + self.length:]

    def __repr__(self):
        return (f"<GRE {self.source} -> {self.destination} call {self.call_id} seq {self.seq} ack {self.ack} "
                f"{len(self.payload)} octets {self.payload[:24]!r}>")
