#!/usr/bin/python3
"""Attacks, while a bystander's call is measured: what it loses, how late it is, and how many bad inputs there were.

The bystander's packets and messages go by the same program and the same host as the attack, from a client of their own.
None of them may be lost: what the attacks send stays below what the receive buffers of the program hold while it is
kept from its work for some hundred milliseconds, as on a busy machine. 99 of 100 must be there within 100 ms, which
nobody at the ends of a call notices, and twice the longest that one of the program's threads waited for a processor
meanwhile, which is the machine's. Where an attack is meant to fill those buffers, its case says what is asserted instead.
"""

import os
import random
import select
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import figures, tap, tcp, watch
from lab.bystander import Bystander
from lab.errors import Skip
from lab.fake import PATIENCE, World
from lab.messages import (CCRQ, CDN, ECHO_RP, ECHO_RQ, ICCN, ICRP, ICRQ, LENGTH, OCRP, OCRQ, SCCRP, SCCRQ, SLI,
                          STOP_RP, TYPES, WEN, build)
from lab.proc import Proc, wait_until
from lab.proxy import CLOSED, READY, REFUSED, START, program
from lab.tools import gre_send_start

MIB = 1 << 20
SERVER = "10.2.0.10"
DELAY = 0.1  # seconds, of 99 in 100
WAITS = 2  # and so many times the longest wait for a processor
PUT_OUT = r": put out: for a newcomer: "
GENERAL_ERROR = 2


class Attack:
    """Counts bad inputs: packets, messages, connections, octets that came alone."""

    def __init__(self):
        self.inputs, self.began = 0, time.monotonic()

    def lasts(self, seconds):
        return time.monotonic() - self.began < seconds


def _fared(attack, bystander, share=0.0, delay=DELAY):
    """Asserts it, and tells."""
    fared = bystander.stop()
    packets, messages = fared.packets, fared.messages
    tap.comment(f"packets: {packets}")
    tap.comment(f"messages: {messages}")
    tap.comment(f"waited at most {fared.wait * 1000:.1f} ms for a processor")
    figures.tell("hostile", bad_inputs=attack.inputs, bystander_sent=packets.sent + messages.sent,
                 bystander_arrived=packets.arrived + messages.arrived)
    assert attack.inputs > 0 and packets.sent > 100 and messages.sent > 20, (attack.inputs, packets, messages)
    assert packets.lost <= share * packets.sent, f"packets: {packets}"
    assert messages.lost == 0, f"messages: {messages}"
    # Messages wait for the turns of one thread, of which an attack has some too; no end of a call minds a second.
    for some, bound in ((packets, delay), (messages, 10 * DELAY)):
        assert some.doubled == some.disordered == 0, some
        assert some.p99 < bound * tap.slowdown() + WAITS * fared.wait, (some, fared.wait)


@contextmanager
def _beside(world, **bounds):
    """An attack beside a bystander, who must not notice."""
    with Bystander(world) as bystander:
        attack = Attack()
        yield attack
        wait_until(lambda: not attack.lasts(1.5), what="enough to measure")
        _fared(attack, bystander, **bounds)
    for host in world.clients + world.servers:
        host.gre.empty()
    bystander.session.check()
    bystander.call.check()


def _needs(option):
    """Skips the case where the program has no such option."""
    said = os.popen(f"{program()} --help").read()
    if option not in said:
        raise Skip(f"the program has no {option}")


# ---- GRE ----


def _rate(packets_a_second):
    return int(packets_a_second / tap.slowdown())


def _finish(floods):
    """How many packets went out."""
    for flood in floods:
        assert flood.wait(90) == 0, flood.text()
    return sum(int(flood.text().split()[-1]) for flood in floods)


def test_packets_of_a_peer_that_has_a_call():
    "a flood of packets from a peer that has a call, to its call and to IDs that nobody has"
    with World(clients=2, debug=False) as world:
        call = world.session(client=0).call(5, 7)
        with _beside(world) as attack:
            words = ["-s", world.client.ip, "-d", world.net.inside, "-q", 1, "-l", 100, "-n", 30000, "-w", 30]
            attack.inputs = _finish([
                gre_send_start(world.net.client, *words, "-r", _rate(10000), "-c", call.client_sees),
                gre_send_start(world.net.client, *words, "-r", _rate(10000), "-c", 0, "-i")])


def test_packets_of_strangers():
    "packets of many strangers: no call, a call of somebody else's, odd flags, cut, in fragments; nobody answers them"
    with World(clients=2, debug=False) as world, _beside(world) as attack:
        floods = []
        for number, odd in enumerate((["-i"], ["-o", 0x3001, "-P", 0x0800], ["-C", 6], ["-L", 60000], ["-f", 8], [])):
            words = ["-s", f"10.1.0.{100 + number}", "-d", world.net.inside, "-c", 2222, "-q", 1, "-l", 40,
                     "-r", _rate(3000), "-n", 8000, "-w", 30, *odd]
            floods.append(gre_send_start(world.net.client, *words))
        attack.inputs = _finish(floods)


def test_packets_that_fill_the_receive_buffer():
    "more packets than the program can carry: a bystander loses no greater share than the flood, nor its connection"
    with World(clients=2, debug=False) as world:
        call = world.session(client=0).call(5, 7)
        # One queue holds everybody's packets, and what comes while it is full is lost, whoever sent it. It is 4 MiB, some
        # ten thousand packets: not more than a second's work, which is the delay.
        with Bystander(world) as bystander:
            attack, drops = Attack(), watch.raw_drops(world.net.firewall)
            attack.inputs = _finish([
                gre_send_start(world.net.client, "-s", world.client.ip, "-d", world.net.inside, "-q", 1, "-l", 20,
                               "-n", 100000000, "-w", 4, "-c", call.client_sees) for _ in range(3)])
            share = (watch.raw_drops(world.net.firewall) - drops) / attack.inputs
            tap.comment(f"{attack.inputs} packets, of which {share:.1%} found the receive buffer full")
            # Which ones of a burst are lost is chance.
            _fared(attack, bystander, share=min(1.5 * share + 0.05, 1) if share else 0, delay=1)
        bystander.session.check()


# ---- messages ----


def _drain(stream):
    """What has come there, unread; answers how many octets."""
    taken = 0
    stream.sock.setblocking(False)
    try:
        while True:
            octets = stream.sock.recv(1 << 20)
            if not octets:
                return taken
            taken += len(octets)
    except BlockingIOError:
        return taken


def _pour(stream, octets):
    """As much as goes in at once; answers how many octets."""
    stream.sock.setblocking(False)
    try:
        return stream.sock.send(octets)
    except BlockingIOError:
        return 0


class Pipe:
    """Octets, over and over, from one stream to another that is drained meanwhile; so many at most under way where they are
    to arrive: each message is a segment of its own behind the program, of which a network of the lab loses some when there
    are thousands at once, and TCP then takes its time."""

    UNDER_WAY = 1 << 16

    def __init__(self, sender, receiver, octets):
        self.sender, self.receiver, self.octets = sender, receiver, octets * (65536 // len(octets))
        self.length, self.at, self.sent, self.arrived = len(octets), 0, 0, 0

    def turn(self, arrives=True):
        room = self.UNDER_WAY - (self.sent - self.arrived) if arrives else self.UNDER_WAY
        done = _pour(self.sender, self.octets[self.at:self.at + room]) if room > 0 else 0
        self.at = (self.at + done) % len(self.octets)
        self.sent += done
        self.arrived += _drain(self.receiver)

    def finish(self):
        """Sends what was begun to its end; true: all of it has arrived."""
        rest = -self.sent % self.length
        done = _pour(self.sender, self.octets[self.at:self.at + rest]) if rest else 0
        self.at += done
        self.sent += done
        self.arrived += _drain(self.receiver)
        return done == rest and self.arrived == self.sent


def test_messages_as_fast_as_they_go():
    "Echo-Requests, unknown types and dropped ones as fast as the program takes them, both ways on two connections"
    with World(clients=2, debug=False) as world:
        one, other = world.session(), world.session()
        with _beside(world) as attack:
            unknown = build(77, tail=bytes(100)) + build(ECHO_RQ)
            dropped = build(CDN, call_id=99)
            pipes = [Pipe(one.client, one.server, build(ECHO_RQ)), Pipe(one.server, one.client, build(ECHO_RP)),
                     Pipe(other.client, other.server, unknown)]
            lost = Pipe(other.server, other.client, dropped)
            while attack.lasts(4):
                for pipe in pipes:
                    pipe.turn()
                lost.turn(arrives=False)
            # A way that is full holds the other one of its connection, too.
            wait_until(lambda: all([pipe.finish() for pipe in pipes]), PATIENCE, "all octets to arrive")
            attack.inputs = sum(pipe.sent // pipe.length for pipe in pipes + [lost])
            assert lost.arrived == 0, "what names no call was passed on"
            assert attack.inputs > 10000, attack.inputs


def test_slow_senders():
    "a hundred requests an octet at a time, and fifty that never end: the first get through, the others' time runs out"
    with World(["--handshake-timeout", str(round(8 * tap.slowdown()))], clients=2, debug=False) as world, _beside(world) as attack:
        before = watch.descriptors(world.proxy.worker)
        slow, endless = [world.dial() for _ in range(100)], [world.dial() for _ in range(50)]
        for octet in build(SCCRQ):
            for stream in slow:
                stream.send(bytes([octet]))
            attack.inputs += len(slow)
        for octet in build(SCCRQ)[:-1]:
            for stream in endless:
                stream.send(bytes([octet]))
            attack.inputs += len(endless)
        for _ in slow:
            server = world.server.accept()
            server.expect_octets(build(SCCRQ))
            server.send(build(SCCRP))
        for stream in slow:
            stream.expect(SCCRP)
        assert not world.server.dialled()
        for stream in endless:
            stream.expect_end()
        for stream in slow + endless:
            stream.close()
        world.clients[0].streams.clear()
        for stream in world.server.streams[1:]:  # the first one is the bystander's
            stream.close()
        wait_until(lambda: watch.descriptors(world.proxy.worker) <= before, 20, "their descriptors to be closed")


def test_slow_messages():
    "messages of a call an octet at a time, both ways, on twenty connections: whole ones arrive, and only those"
    with World(clients=2, debug=False) as world:
        sessions = [world.session() for _ in range(20)]
        with _beside(world) as attack:
            request = build(OCRQ, call_id=5)
            for octet in request:
                for session in sessions:
                    session.client.send(bytes([octet]))
            seen = [session.server.expect(OCRQ).call_id for session in sessions]
            replies = [build(OCRP, call_id=100 + i, peer_id=sees) for i, sees in enumerate(seen)]
            for at in range(len(replies[0])):
                for session, reply in zip(sessions, replies):
                    session.server.send(reply[at:at + 1])
            for session in sessions:
                session.client.expect(OCRP, peer_id=5)
                session.check()
            attack.inputs = len(sessions) * (len(request) + len(replies[0]))


def test_stalled_readers():
    "fifty connections whose servers read nothing of what their clients pour in, and twenty the other way round"
    with World(clients=2, debug=False) as world:
        sessions = [world.session() for _ in range(70)]
        with _beside(world) as attack:
            growth = watch.Growth(world.proxy.worker)
            octets = build(ECHO_RQ, tail=bytes(1000))
            ways = [(session.client, session.server) for session in sessions[:50]]
            ways += [(session.server, session.client) for session in sessions[50:]]
            went = tcp.fill(world.proxy, ways, octets)
            attack.inputs = sum(sent // len(octets) for sent, _ in went)
            growth.check(8 * MIB)
            cpu = watch.cpu(world.proxy.worker)
            attack.began = time.monotonic()
            wait_until(lambda: not attack.lasts(1), what="the clock")
            assert watch.cpu(world.proxy.worker) - cpu < 0.5 * tap.slowdown(), "spinning"


# ---- calls ----


def _storm(session, ids, attack):
    """Calls that open and end, all of them at the same time."""
    client, server = session.client, session.server
    client.send(b"".join(build(OCRQ, call_id=i) for i in ids))
    sees = [server.expect(OCRQ).call_id for _ in ids]
    server.send(b"".join(build(OCRP, call_id=i, peer_id=shown) for i, shown in zip(ids, sees)))
    for i in ids:
        client.expect(OCRP, peer_id=i)
    client.send(b"".join(build(CCRQ, call_id=i) for i in ids))
    for shown in sees:
        server.expect(CCRQ, call_id=shown)
    server.send(b"".join(build(CDN, call_id=i) for i in ids))
    for _ in ids:
        client.expect(CDN)
    attack.inputs += 4 * len(ids)


def test_calls_that_open_and_end_as_fast_as_they_can():
    "calls that open and end as fast as one client can: memory and log stay bounded, and its connection works"
    with World(clients=2, debug=False) as world:
        session = world.session()
        with _beside(world) as attack:
            growth, calls = watch.Growth(world.proxy.worker), 0
            while attack.lasts(5):
                _storm(session, [(calls + i) & 0xFFFF for i in range(64)], attack)
                calls += 64
            session.check()
            assert calls > 1000, calls
            # An ended call keeps its IDs for 30 s.
            growth.check(4 * MIB + calls * 600)
            seconds = time.monotonic() - attack.began
            lines = len(world.log.all())
            tap.comment(f"{calls} calls, {lines} lines")
            # 200 of a source within 5 s, one that tells of the rest, and some of the start.
            assert lines < 201 * (seconds // 5 + 2), f"{lines} lines of {calls} calls"
        world.log.wait(r"connections and calls of 10\.1\.0\.10: \d+ more lines like these in the last \d+ s")


def test_requests_that_nobody_answers():
    "requests without replies, as fast as they go, with the same ID and with others: memory stays bounded"
    with World(clients=2, debug=False) as world:
        session = world.session()
        with _beside(world) as attack:
            same = Pipe(session.client, session.server, build(OCRQ, call_id=9))
            while attack.lasts(2):
                same.turn()
            wait_until(same.finish, PATIENCE, "all requests to arrive")
            growth = watch.Growth(world.proxy.worker)
            pipe = Pipe(session.client, session.server, b"".join(build(OCRQ, call_id=i) for i in range(1, 301)))
            while attack.lasts(4):
                pipe.turn()
            wait_until(pipe.finish, PATIENCE, "all requests to arrive")
            attack.inputs = (same.sent + pipe.sent) // LENGTH[OCRQ]
            growth.check(16 * MIB + attack.inputs * 600)
            session.check()


# ---- servers that lie ----


def _garbage(world, attack, random_octets):
    """Instead of a Start-Control-Connection-Reply."""
    for number in range(40):
        client = world.dial()
        client.send(build(SCCRQ))
        server = world.server.accept()
        server.expect(SCCRQ)
        lie = [random_octets(200), build(SCCRP, cookie=0), build(SCCRP, length=9), build(SCCRP, length=65535),
               build(SCCRP, message_type=2), build(SCCRP)[:60] + random_octets(60), build(OCRP, length=13),
               bytes(156)][number % 8]
        server.send(lie)
        try:
            server.half_close()
        except OSError:  # it has been closed already
            pass
        client.drain()
        client.close()
        server.close()
        attack.inputs += 1


def _of_calls_never_asked(session, attack, ids):
    """All of these are dropped: the next message is the echo."""
    for call_id in ids:
        session.server.send(b"".join([
            build(OCRP, call_id=call_id, peer_id=call_id), build(OCRP, call_id=call_id, peer_id=call_id, result=2),
            build(ICRP, call_id=call_id, peer_id=call_id), build(ICCN, peer_id=call_id), build(CCRQ, call_id=call_id),
            build(CDN, call_id=call_id), build(WEN, peer_id=call_id), build(SLI, peer_id=call_id)]))
        attack.inputs += 8
    session.check()


def _replies_twice(session, attack, call):
    """With another ID, refused, and of the wrong kind, for a call that is open."""
    for lie in (build(OCRP, call_id=99, peer_id=call.server_sees), build(ICRP, call_id=7, peer_id=call.server_sees)):
        session.server.send(lie)
        attack.inputs += 1
    session.check()
    call.check()


def test_a_server_that_lies():
    "a server that answers with lies: garbage, replies that nobody asked for, others' call IDs; nobody but its client knows"
    chance = random.Random(4)
    with World(clients=2, debug=False) as world, _beside(world) as attack:
        _garbage(world, attack, chance.randbytes)
        session = world.session()
        others = [1111, 2222]  # the bystander's, as each end has them
        _of_calls_never_asked(session, attack, others + [0, 0xFFFF] + [chance.randrange(65536) for _ in range(200)])
        call = session.call(5, 7)
        _replies_twice(session, attack, call)
        call.clear()
        # The bystander's ID at this very server, for a call of one's own.
        mine = session.call(6, 2222)
        session.server.send(build(CDN, call_id=2222))
        session.client.expect(CDN, call_id=mine.client_sees)
        attack.inputs += 2
        _of_calls_never_asked(session, attack, others)


def test_messages_of_chance():
    "thousands of well-formed messages of every type with any IDs, from both ends of ten connections at once"
    chance = random.Random(5)

    def some():
        kind = chance.choice([k for k in TYPES if k not in (SCCRQ, SCCRP)] + [STOP_RP + 60])
        near = lambda: chance.choice([chance.randrange(20), chance.randrange(20), 1111, 2222, chance.randrange(65536)])
        fields = {OCRQ: ("call_id",), ICRQ: ("call_id",), CCRQ: ("call_id",), CDN: ("call_id",),
                  OCRP: ("call_id", "peer_id"), ICRP: ("call_id", "peer_id"), ICCN: ("peer_id",), WEN: ("peer_id",),
                  SLI: ("peer_id",)}.get(kind, ())
        return build(kind, **{field: near() for field in fields})

    with World(clients=2, debug=False) as world:
        sessions = [world.session() for _ in range(10)]
        with _beside(world) as attack:
            for _ in range(150):
                for session in sessions:
                    for stream in (session.client, session.server):
                        stream.send(b"".join(some() for _ in range(4)))
                        attack.inputs += 4
                    _drain(session.client)
                    _drain(session.server)
            for session in sessions:
                session.close()
            world.log.wait(CLOSED, count=10)


# ---- connections ----


def _limited(world, limit):
    """The proxy with few descriptors, so that there is room for (limit - 49) / 2 connections."""
    proc = Proc(["prlimit", f"--nofile={limit}:{limit}", program(), "-n", "-p", SERVER], ns=world.net.firewall,
                name="pptpproxy")
    proc.wait_line(READY, START)
    return proc


def test_half_open_connections_of_one_source():
    "two thousand half-open connections of one source where there is room for seventy: another one's come up at once"
    with World(clients=2, proxy=False) as world:
        proc = _limited(world, 189)
        with _beside(world) as attack:
            up, took = [], []
            for number in range(20):
                crowd = [world.dial() for _ in range(100)]
                for stream in crowd[::2]:
                    stream.send(build(SCCRQ)[:number])
                attack.inputs += len(crowd)
                began = time.monotonic()
                up.append(world.session(client=1))
                took.append(time.monotonic() - began)
                for stream in crowd[:50]:
                    stream.close()
            for session in up:
                session.check()
            # Each of them, but for one or another that had to wait for its turn at the machine.
            assert sorted(took)[len(took) // 2] < 1 * tap.slowdown(), took
            assert watch.descriptors(watch.worker(proc.pid)) <= 189
            assert proc.lines(PUT_OUT), "nobody was put out"
            others = [line for line in proc.lines(PUT_OUT) if "10.1.0.10:" not in line]
            assert not others, others[:3]
        world.hang_up()
        assert proc.stop() == 0


def test_connections_that_a_server_accepted_stay():
    "where all that there is room for is taken by connections that a server has accepted, newcomers wait and nobody goes"
    with World(clients=2, proxy=False) as world:
        proc = _limited(world, 109)
        with _beside(world) as attack:
            up = [world.session() for _ in range(29)]
            proc.wait_line(r"warning: new connections wait, at 30: ")
            crowd = [world.dial() for _ in range(100)]
            attack.inputs = len(crowd)
            late = world.dial(client=1)
            late.send(build(SCCRQ))
            for session in up:
                session.check()
            assert not world.server.dialled(), "there is no room"
            for stream in crowd:
                stream.close()
            up[0].close()
            server = world.server.admit()
            late.expect(SCCRP)
            assert not proc.lines(PUT_OUT), "somebody had to go"
        world.hang_up()
        assert proc.stop() == 0


def test_connections_as_fast_as_they_come():
    "connections that come, say a word of nonsense, and go as fast as one client can: the log stays short, memory too"
    with World(clients=2, debug=False) as world, _beside(world) as attack:
        growth = watch.Growth(world.proxy.worker)
        words = [b"", b"GET / HTTP/1.0\r\n\r\n", build(SCCRQ, cookie=1), build(ECHO_RQ), bytes(300)]
        while attack.lasts(5):
            stream = world.dial()
            try:
                stream.send(words[attack.inputs % len(words)])
            except ConnectionError:
                pass
            stream.close()
            world.clients[0].streams.clear()
            attack.inputs += 1
        assert attack.inputs > 500, attack.inputs
        seconds, lines = time.monotonic() - attack.began, len(world.log.all())
        tap.comment(f"{attack.inputs} connections, {lines} lines")
        assert lines < 201 * (seconds // 5 + 2), f"{lines} lines of {attack.inputs} connections"
        assert not world.server.dialled()
        growth.check(4 * MIB)
        world.log.wait(r"connections that asked for nothing: \d+ more lines like these in the last \d+ s")


# ---- limits ----


def test_so_many_connections_of_a_source():
    "--max-per-source: a source that has so many is refused, at once, until one of them goes; others are not"
    _needs("--max-per-source")
    with World(["--max-per-source", "5"], clients=2, debug=False) as world, _beside(world) as attack:
        sessions = [world.session() for _ in range(5)]
        for _ in range(50):
            stream = world.dial()
            stream.expect_end()
            stream.close()
            attack.inputs += 1
        world.log.wait(r"refused: limit: 5 connections of 10\.1\.0\.10 already \(--max-per-source\)", count=50)
        for session in sessions:
            session.check()
        for _ in range(3):
            world.session(client=1)
        sessions[0].close()
        wait_until(lambda: _comes(world, world.dial()), what="room for one more")


def _comes(world, stream):
    """Does this connection get as far as the server, or is it refused?"""
    try:
        stream.send(build(SCCRQ))
    except ConnectionError:
        return False
    if stream.sock in select.select([stream.sock, world.server.sock], [], [], PATIENCE)[0]:
        stream.close()
        return False
    assert world.server.dialled(), "neither"
    return True


def test_so_many_new_connections_a_second():
    "--max-rate-per-source: what a source opens beyond it is refused; others come in meanwhile, and it does later"
    _needs("--max-rate-per-source")
    with World(["--max-rate-per-source", "10"], clients=2, debug=False) as world, _beside(world) as attack:
        began, refused, came = time.monotonic(), 0, []
        while len(came) < 30:
            stream = world.dial()
            attack.inputs += 1
            if _comes(world, stream):
                came.append(stream)
            else:
                refused += 1
        took = time.monotonic() - began
        # Ten at once, and ten a second from then on; a loaded machine only makes it longer.
        assert took > 1.8, f"30 connections within {took:.2f} s"
        assert refused > 0
        world.session(client=1)
        world.log.wait(r"refused: rate: more than 10 new connections a second of 10\.1\.0\.10 \(--max-rate-per-source\)")


def test_so_many_connections_in_all():
    "--max-connections: the oldest half-open connection of whoever has most gives way, to another source's at once"
    _needs("--max-connections")
    with World(["--max-connections", "10"], clients=2) as world, _beside(world) as attack:
        crowd = [world.dial() for _ in range(20)]
        attack.inputs = len(crowd)
        for stream in crowd[9:]:  # nine beside the bystander
            stream.expect_end()
            world.wait_line(stream, "refused: limit: no room")
        world.session(client=1)
        crowd[0].expect_end()
        world.wait_line(crowd[0], PUT_OUT)
        crowd[8].send(build(SCCRQ))
        assert world.server.accept().expect(SCCRQ)


def test_so_many_calls_of_a_connection():
    "--max-calls: one more is refused by a Reply, the server hears nothing of it; another connection has its own"
    _needs("--max-calls")
    with World(["--max-calls", "3"], clients=2, debug=False) as world, _beside(world) as attack:
        session = world.session()
        calls = [session.call(i, 100 + i) for i in range(3)]
        for _ in range(20):
            session.client.send(build(OCRQ, call_id=50))
            session.client.expect(OCRP, peer_id=50, result=GENERAL_ERROR)
            attack.inputs += 1
        session.check()
        world.wait_line(session.client, r"more than 3 calls on one connection \(--max-calls\)")
        for call in calls:
            call.check()
        world.session().call(9, 10).check()
        calls[0].clear()
        session.call(50, 60).check()


def test_so_many_clients_that_wait_for_commands():
    "--max-waiting-checks: beyond it clients are refused at once, and the log says why"
    _needs("--max-waiting-checks")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # commands run as another user
        command = Path(directory) / "command"
        command.write_text('#!/bin/sh\n[ "$1" = 10.1.0.11 ] || exec sleep 600\n')
        command.chmod(0o755)
        words = ["-x", str(command), "--max-waiting-checks", "4", "--acl-parallel", "2"]
        with World(words, clients=2, debug=False) as world, _beside(world) as attack:
            crowd = [world.dial() for _ in range(30)]
            attack.inputs = len(crowd)
            refused = [world.wait_line(stream, REFUSED) for stream in crowd[6:]]
            for line in refused:
                assert "4 clients wait for access commands already (--max-waiting-checks)" in line.string, line.string
            for stream in crowd[6:]:
                stream.expect_end()


if __name__ == "__main__":
    tap.main()
