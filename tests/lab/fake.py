"""PPTP ends of our own, which do what they are told: every octet, in any segmentation, true or not.

    with World(clients=2) as world:                   # a dual-homed firewall, the proxy in it
        session = world.session()                     # a control connection, SCCRQ and SCCRP done
        call = session.call(5, 7)                     # the client's own ID 5, the server's 7
        call.server_sees, call.client_sees            # what each was told instead
        call.check()                                  # a GRE packet each way
        session.client.send(build(ECHO_RQ))
        session.server.expect(ECHO_RQ)

    Stream      one TCP connection: octets out, whole messages in
    Gre         one host's raw socket for protocol 47
    FakeClient, FakeServer   where Streams come from
    Session     the two Streams of one control connection
    Call        one call of a session, and the IDs that each end knows it by

"Nothing came" is never waited for. What comes later in the same stream shows it: session.check()
sends an echo each way and asserts that it is the very next message; Gre.expect() likewise.
"""

import re
import socket
import struct
import time
from contextlib import ExitStack

from . import messages
from .errors import LabTimeout
from .messages import CCRQ, CDN, ECHO_RQ, ICCN, ICRP, ICRQ, OCRP, OCRQ, PORT, SCCRP, SCCRQ, Message, Packet, build
from .netns import ip
from .proc import PATIENCE, wait_until
from .proxy import Proxy
from .real import keep_gre_open
from .topo import DualHomed

IP_PKTINFO, IP_MTU_DISCOVER = 8, 10


class Ended(AssertionError):
    """The peer ended the stream; how is "EOF" or "RST"."""

    def __init__(self, name, how, rest):
        super().__init__(f"{name}: {how} instead of a message" + (f", after {len(rest)} octets" if rest else ""))
        self.how, self.rest = how, rest


class Stream:
    """One end's TCP connection."""

    def __init__(self, sock, name):
        self.sock, self.name = sock, name
        self.buffer = bytearray()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local, self.remote = sock.getsockname(), sock.getpeername()

    def send(self, *pieces):
        """Each piece is handed to the system on its own, so it becomes a segment of its own."""
        self.sock.settimeout(PATIENCE)
        for piece in pieces:
            self.sock.sendall(piece.octets if isinstance(piece, Message) else piece)

    def _more(self, deadline):
        left = deadline - time.monotonic()
        self.sock.settimeout(max(left, 0.001))
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            raise LabTimeout(f"{self.name}: nothing more came, {len(self.buffer)} octets are there") from None
        except ConnectionError:
            raise Ended(self.name, "RST", bytes(self.buffer)) from None
        if not data:
            raise Ended(self.name, "EOF", bytes(self.buffer))
        self.buffer += data

    def receive(self, timeout=PATIENCE):
        """The next whole message."""
        deadline = time.monotonic() + timeout
        while len(self.buffer) < messages.HEADER.size or len(self.buffer) < self._length():
            self._more(deadline)
        length = self._length()
        octets = bytes(self.buffer[:length])
        del self.buffer[:length]
        return Message(octets)

    def _length(self):
        length = struct.unpack_from("!H", self.buffer)[0]
        assert messages.HEADER.size <= length <= 1024, f"{self.name}: a message of {length} octets came"
        return length

    def expect(self, kind, timeout=PATIENCE, **fields):
        """The next message, which must be of this type with these fields."""
        message = self.receive(timeout)
        assert message.type == kind, f"{self.name}: expected {messages.name(kind)}, got {message}"
        for field, value in fields.items():
            got = getattr(message, field)
            assert got == value, f"{self.name}: {message.name} with {field}={got}, expected {value}"
        return message

    def expect_octets(self, octets, timeout=PATIENCE):
        """The next message, which must be these octets."""
        message = self.receive(timeout)
        assert message.octets == octets, (f"{self.name}: got {message} {message.octets.hex()}, "
                                          f"expected {Message(octets)} {octets.hex()}")
        return message

    def expect_end(self, timeout=PATIENCE, how=None):
        """The stream ends, and nothing more came before. Returns "EOF" or "RST"."""
        try:
            message = self.receive(timeout)
        except Ended as end:
            assert not end.rest, f"{self.name}: part of a message came at the end: {end.rest.hex()}"
            assert how in (None, end.how), f"{self.name}: {end.how} instead of {how}"
            return end.how
        raise AssertionError(f"{self.name}: {message} instead of the end")

    def drain(self, timeout=PATIENCE):
        """All messages up to the end of the stream."""
        deadline, got = time.monotonic() + timeout, []
        while True:
            try:
                got.append(self.receive(deadline - time.monotonic()))
            except Ended:
                return got

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """End it by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


class Gre:
    """A host's raw GRE socket. Its guard keeps the host from answering ICMP protocol unreachable."""

    def __init__(self, ns):
        keep_gre_open(ns)
        self.name = ns.name
        with ns:
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_GRE)
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self.df(False)

    def df(self, on):
        """Whether what is sent has DF set."""
        self.sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, 2 if on else 0)

    def send_octets(self, to, octets, tos=0, source=None):
        ancillary = [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", tos))]
        if source:
            ancillary.append((socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4x", 0, socket.inet_aton(source))))
        self.sock.settimeout(PATIENCE)
        self.sock.sendmsg([octets], ancillary, 0, (to, 0))

    def send(self, to, call_id, payload=b"", seq=None, ack=None, tos=0, source=None, **odd):
        self.send_octets(to, messages.gre(call_id, payload, seq, ack, **odd), tos, source)

    def receive(self, timeout=PATIENCE):
        """The next packet."""
        self.sock.settimeout(max(timeout, 0.001))
        try:
            return Packet(self.sock.recv(65536))
        except socket.timeout:
            raise LabTimeout(f"GRE at {self.name}: nothing came within {timeout:g} s") from None

    def expect(self, call_id, payload=b"", timeout=PATIENCE, **fields):
        """The next packet, which must be this one."""
        packet = self.receive(timeout)
        fields.update(call_id=call_id, payload=payload)
        for field, value in fields.items():
            got = getattr(packet, field)
            assert got == value, f"GRE at {self.name}: {field} is {got!r}, expected {value!r}: {packet}"
        return packet

    def empty(self):
        """Forgets what has come."""
        self.sock.setblocking(False)
        try:
            while True:
                self.sock.recv(65536)
        except BlockingIOError:
            pass

    def until(self, payload, timeout=PATIENCE):
        """All packets before the one with this payload."""
        deadline, before = time.monotonic() + timeout, []
        while True:
            packet = self.receive(deadline - time.monotonic())
            if packet.payload == payload:
                return before
            before.append(packet)

    def close(self):
        self.sock.close()


class FakeClient:
    """A host that dials."""

    def __init__(self, ns):
        self.ns, self.ip = ns, ns.ip
        self.gre = Gre(ns)
        self.streams = []

    def connect(self, to, port=PORT, source=None):
        with self.ns:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            if source:
                sock.bind((source, 0))
            sock.settimeout(PATIENCE)
            sock.connect((to, port))
        except BaseException:
            sock.close()
            raise
        stream = Stream(sock, f"client {sock.getsockname()[0]}:{sock.getsockname()[1]}")
        self.streams.append(stream)
        return stream

    def close(self):
        for stream in self.streams:
            stream.close()
        self.gre.close()


class FakeServer:
    """A host that listens."""

    def __init__(self, ns, address="0.0.0.0", port=PORT):
        self.ns, self.ip, self.port = ns, ns.ip, port
        self.gre = Gre(ns)
        self.streams = []
        with ns:
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((address, port))
        self.sock.listen(4096)

    def accept(self, timeout=PATIENCE):
        self.sock.settimeout(timeout)
        try:
            sock, peer = self.sock.accept()
        except socket.timeout:
            raise LabTimeout(f"server {self.ip}: nobody dialled within {timeout:g} s") from None
        stream = Stream(sock, f"server {self.ip}:{self.port} of {peer[0]}:{peer[1]}")
        self.streams.append(stream)
        return stream

    def admit(self, timeout=PATIENCE):
        """The next connection, whose Start-Control-Connection-Request is granted."""
        stream = self.accept(timeout)
        stream.expect(SCCRQ)
        stream.send(build(SCCRP))
        return stream

    def dialled(self):
        """Does a connection wait to be accepted?"""
        self.sock.setblocking(False)
        try:
            sock, peer = self.sock.accept()
        except BlockingIOError:
            return False
        self.streams.append(Stream(sock, f"server {self.ip}: unexpected, of {peer[0]}"))
        return True

    def close(self):
        for stream in self.streams:
            stream.close()
        self.sock.close()
        self.gre.close()


class Call:
    """One call. IDs by who assigned them: client_id, server_id; and server_sees, client_sees: what
    the proxy told each for the other's, which is what that end puts into its packets."""

    def __init__(self, session, client_id, server_id, server_sees, client_sees):
        self.session = session
        self.client_id, self.server_id = client_id, server_id
        self.server_sees, self.client_sees = server_sees, client_sees

    def up(self, payload=b"up", seq=1, **more):
        """A packet from the client."""
        s = self.session
        s.client_host.gre.send(s.client.remote[0], self.client_sees, payload, seq, source=s.client.local[0], **more)

    def down(self, payload=b"down", seq=1, **more):
        """A packet from the server."""
        s = self.session
        s.server_host.gre.send(s.server.remote[0], self.server_sees, payload, seq, source=s.server.local[0], **more)

    def expect_up(self, payload=b"up", **fields):
        """The next packet at the server is this call's, from the address that dialled the server."""
        s = self.session
        fields.setdefault("source", s.server.remote[0])
        return s.server_host.gre.expect(self.server_id, payload, **fields)

    def expect_down(self, payload=b"down", **fields):
        """The next packet at the client is this call's, from the address that the client dialled."""
        s = self.session
        fields.setdefault("source", s.client.remote[0])
        return s.client_host.gre.expect(self.client_id, payload, **fields)

    def check(self, text=b"works"):
        """A packet each way, and none before it."""
        self.up(text)
        self.expect_up(text)
        self.down(text)
        self.expect_down(text)

    def clear(self):
        """The client hangs up and the server confirms it."""
        s = self.session
        s.client.send(build(CCRQ, call_id=self.client_id))
        s.server.expect(CCRQ, call_id=self.server_sees)
        s.server.send(build(CDN, call_id=self.server_id))
        s.client.expect(CDN, call_id=self.client_sees)


class Session:
    """A control connection: .client and .server are its two Streams."""

    def __init__(self, client_host, client, server_host, server):
        self.client_host, self.server_host = client_host, server_host
        self.client, self.server = client, server
        self._echo = 0x10000000

    def call(self, client_id, server_id, settle=True, **reply):
        """An outgoing call that the client asks for. The proxy may still hold the server's packets at
        the moment when the client has its Reply; an echo behind it shows that it does not any more."""
        self.client.send(build(OCRQ, call_id=client_id))
        server_sees = self.server.expect(OCRQ).call_id
        self.server.send(build(OCRP, call_id=server_id, peer_id=server_sees, **reply))
        client_sees = self.client.expect(OCRP, peer_id=client_id).call_id
        if settle:
            self.check()
        return Call(self, client_id, server_id, server_sees, client_sees)

    def call_back(self, client_id, server_id):
        """An outgoing call that the server asks for."""
        self.server.send(build(OCRQ, call_id=server_id))
        client_sees = self.client.expect(OCRQ).call_id
        self.client.send(build(OCRP, call_id=client_id, peer_id=client_sees))
        server_sees = self.server.expect(OCRP, peer_id=server_id).call_id
        self.check()
        return Call(self, client_id, server_id, server_sees, client_sees)

    def incoming(self, client_id, server_id):
        """An incoming call: the server is the PAC, whose telephone rang."""
        self.server.send(build(ICRQ, call_id=server_id))
        client_sees = self.client.expect(ICRQ).call_id
        self.client.send(build(ICRP, call_id=client_id, peer_id=client_sees))
        server_sees = self.server.expect(ICRP, peer_id=server_id).call_id
        self.server.send(build(ICCN, peer_id=server_sees))
        self.client.expect(ICCN, peer_id=client_id)
        return Call(self, client_id, server_id, server_sees, client_sees)

    def check(self):
        """Alive both ways, and no message has come that was not taken out yet."""
        for one, other in ((self.client, self.server), (self.server, self.client)):
            self._echo += 1
            one.send(build(ECHO_RQ, identifier=self._echo))
            other.expect(ECHO_RQ, identifier=self._echo)

    def expect_end(self):
        self.client.expect_end()
        self.server.expect_end()

    def close(self):
        self.client.close()
        self.server.close()


class World:
    """A dual-homed firewall with the proxy, and fake ends on both sides.

    words     further options of the proxy
    pairs     its -p words; by default the first server at port 1723, the second at 1724, ...
    proxy     False: it is not started yet; start() does it

    .net .client .clients .server .servers .proxy .log
    """

    def __init__(self, words=(), clients=1, servers=1, pairs=None, proxy=True, prepare=None, **options):
        self.words = words.split() if isinstance(words, str) else list(words)
        self.options = options
        self._stack = ExitStack()
        self.proxy = None
        try:
            self.net = self._stack.enter_context(DualHomed(clients, servers))
            self.clients = [self.keep(FakeClient(ns)) for ns in self.net.clients]
            self.servers = [self.keep(FakeServer(ns)) for ns in self.net.servers]
            self.client, self.server = self.clients[0], self.servers[0]
            self.pairs = pairs if pairs is not None else [
                f"0.0.0.0:{PORT + i},{server.ip}" for i, server in enumerate(self.servers)]
            if prepare:
                prepare(self)
            if proxy:
                self.start()
        except BaseException:
            self._stack.close()
            raise

    def keep(self, thing):
        """Close this when the world ends."""
        self._stack.callback(thing.close)
        return thing

    def start(self, **options):
        words = [word for pair in self.pairs for word in ("-p", pair)] + self.words
        self.proxy = self._stack.enter_context(Proxy(self.net.firewall, words, **{**self.options, **options}))
        self.log = self.proxy.log
        return self.proxy

    def dial(self, client=0, port=PORT, to=None, **options):
        return self.clients[client].connect(to or self.net.inside, port, **options)

    def session(self, client=0, server=0, **options):
        """A control connection that is up."""
        stream = self.dial(client, PORT + server, **options)
        stream.send(build(SCCRQ))
        other = self.servers[server].admit()
        stream.expect(SCCRP)
        return Session(self.clients[client], stream, self.servers[server], other)

    def hang_up(self):
        """Closes the streams of all ends: at its end the proxy waits for its peers' ends of file."""
        for host in self.clients + self.servers:
            for stream in host.streams:
                stream.close()

    def number(self, stream, timeout=PATIENCE):
        """The connection's number in the log, by the client's stream."""
        address = re.escape("%s:%d" % stream.local)
        return int(self.log.wait(rf"#(\d+) {address}\b", timeout)[1])

    def lines(self, stream, pattern=""):
        """What the log says about the connection of this client's stream."""
        return [line for line in self.log.matching(rf"#{self.number(stream)} ") if re.search(pattern, line)]

    def wait_line(self, stream, pattern, timeout=PATIENCE, count=1):
        return self.log.wait(rf"#{self.number(stream)} .*(?:{pattern})", timeout, count=count)

    def address(self, ns, device, address):
        """One more address for a host."""
        ip("-n", ns.name, "addr", "add", address, "dev", device)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.hang_up()
        return self._stack.__exit__(*exc)


def wait_listening(ns, port=PORT, timeout=PATIENCE):
    def look():
        with ns, open("/proc/thread-self/net/tcp") as table:
            return re.search(rf":{port:04X} 00000000:0000 0A", table.read())

    wait_until(look, timeout, f"port {port} to be listened on")
