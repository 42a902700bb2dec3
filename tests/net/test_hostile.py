#!/usr/bin/python3
"""Those who mean harm, or only break: floods, stalled readers, exhausted descriptors; and what is left afterwards."""

import os
import re
import select
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, tcp, watch
from lab.fake import Ended, World
from lab.messages import ECHO_RQ, OCRQ, SCCRP, SCCRQ, build
from lab.netns import RUN_PREFIX
from lab.proc import Proc, wait_until
from lab.proxy import CALL_ENDED, CALL_OPENED, CLOSED, READY, START, program
from lab.sniff import Sniffer
from lab.tools import gre_send_start

MIB = 1 << 20
SERVER = "10.2.0.10"
ENDED = CALL_ENDED + ": "  # one that had opened
JUNK = [b"GET / HTTP/1.0\r\n\r\n", bytes(200), b"\xff" * 64, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        build(SCCRQ)[:11], build(ECHO_RQ), build(SCCRQ, cookie=0), b"", build(SCCRQ, length=65535),
        build(OCRQ, call_id=5)]


def _cpu_over(pid, seconds):
    """The share of one processor that a process takes over so many seconds of the clock."""
    before, began = watch.cpu(pid), time.monotonic()
    wait_until(lambda: time.monotonic() - began >= seconds, what="the clock")
    return (watch.cpu(pid) - before) / (time.monotonic() - began)


# ---- stalled readers ----


def test_stalled_reader_costs_bounded_memory():
    "a peer that does not read costs a bounded amount of memory and nobody else's time, and loses nothing once it reads"
    with World(clients=2, debug=False) as world:
        bystander = world.session(client=1)
        call = bystander.call(5, 7)
        session = world.session()
        growth = watch.Growth(world.proxy.worker)
        for sender, receiver in ((session.client, session.server), (session.server, session.client)):
            octets = build(ECHO_RQ, identifier=7, tail=bytes(500))
            [(sent, rest)] = tcp.fill(world.proxy, [(sender, receiver)], octets)
            growth.check(4 * MIB)
            assert _cpu_over(world.proxy.worker, 0.5) < 0.3, "spinning"
            bystander.check()
            call.check()
            whole = (sent + len(rest)) // len(octets)
            for _ in range(sent // len(octets)):
                receiver.expect_octets(octets)
            sender.send(rest)
            for _ in range(whole - sent // len(octets)):
                receiver.expect_octets(octets)
        session.check()


def test_everything_arrives_before_the_end_of_a_stalled_connection():
    "a client that sends much and closes while its server does not read: all of it arrives, then the end"
    with World(debug=False) as world:
        session, bystander = world.session(), world.session()
        octets = build(ECHO_RQ, identifier=7, tail=bytes(100))
        session.server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        count = 2000  # more than fits on the server's side of the proxy, less than on the client's
        session.client.send(octets * count)
        session.client.close()

        def knows_of_the_end():
            leg = tcp.leg(world.net.firewall, session.client)
            return leg and leg.state == tcp.CLOSE_WAIT and leg.receive_queue

        wait_until(knows_of_the_end, what="the client's end behind what the server does not read")
        # Longer than any patience with peers that do not close: a later one of those has been given up meanwhile.
        descriptors = watch.descriptors(world.proxy.worker)
        bystander.client.close()
        bystander.server.expect_end(how="EOF")
        wait_until(lambda: watch.descriptors(world.proxy.worker) <= descriptors - 2, what="the bystander to be given up")
        for _ in range(count):
            session.server.expect_octets(octets)
        session.server.expect_end(how="EOF")


def test_many_stalled_readers():
    "fifty stalled connections together cost a few MiB, and a bystander's call goes on"
    with World(clients=2, debug=False) as world:
        bystander = world.session(client=1)
        call = bystander.call(5, 7)
        growth = watch.Growth(world.proxy.worker)
        sessions = [world.session() for _ in range(50)]
        ways = [(session.client, session.server) for session in sessions]
        tcp.fill(world.proxy, ways, build(ECHO_RQ, tail=bytes(1000)))
        growth.check(8 * MIB)
        call.check()
        bystander.check()
        assert _cpu_over(world.proxy.worker, 0.5) < 0.3, "spinning"


def test_stalled_readers_are_given_up():
    "ends that live and read nothing of what waits for them are given up after three times --keepalive; others' calls go on"
    with World(["--keepalive", "1"], clients=2, debug=False) as world:
        bystander = world.session(client=1)
        call = bystander.call(5, 7)
        deaf_server, deaf_client = world.session(), world.session()
        octets = build(ECHO_RQ, tail=bytes(1000)) * 64
        rest = {deaf_server.client: b"", deaf_client.server: b""}
        began = time.monotonic()

        def push(stream):
            stream.sock.setblocking(False)
            try:
                while True:
                    rest[stream] = rest[stream] or octets
                    rest[stream] = rest[stream][stream.sock.send(rest[stream]):]
            except (BlockingIOError, ConnectionError):
                pass

        def given_up():
            for stream in rest:
                push(stream)
            bystander.check()
            call.check()
            return len(world.log.matching(CLOSED)) >= 2

        wait_until(given_up, 3 + 10 * tap.slowdown(), "both to be given up")
        assert time.monotonic() - began > 2.5, "too soon"
        for session, who in ((deaf_server, "server"), (deaf_client, "client")):
            world.wait_line(session.client, rf"closed: failed: {who}: Connection timed out$")
        for stream in rest:
            stream.expect_end()
        bystander.check()
        call.check()


def test_one_sided_end_of_a_stalled_connection():
    "a stalled connection whose ends go away is forgotten"
    with World(debug=False) as world:
        before = watch.descriptors(world.proxy.worker)
        session = world.session()
        tcp.fill(world.proxy, [(session.client, session.server)], build(ECHO_RQ, tail=bytes(1000)))
        session.server.reset()
        session.client.expect_end()
        world.wait_line(session.client, CLOSED)
        session.client.close()
        wait_until(lambda: watch.descriptors(world.proxy.worker) == before, what="its descriptors to be closed")


# ---- descriptors ----


def _limited(world, limit, *words):
    """The proxy with few descriptors."""
    proc = Proc(["prlimit", f"--nofile={limit}:{limit}", program(), "-n", "-p", SERVER, *words], ns=world.net.firewall,
                name="pptpproxy")
    proc.wait_line(READY, START)
    return proc


def _ready(sock):
    return bool(select.select([sock], [], [], 0)[0])


def test_exhausted_descriptors():
    "out of descriptors: calls that exist go on, half-open connections give way to new ones, no spinning, and it recovers"
    with World(clients=2, proxy=False) as world:
        proc = _limited(world, 120, "--handshake-timeout", "60")
        session = world.session(client=1)
        call = session.call(5, 7)
        crowd = [world.dial() for _ in range(300)]
        proc.wait_line(r": (put out: for a newcomer: |refused: limit: no room)")
        assert watch.descriptors(watch.worker(proc.pid)) <= 120
        call.check()
        session.check()
        assert _cpu_over(watch.worker(proc.pid), 1.0) < 0.2, "spinning"
        waiting = world.dial(client=1)
        waiting.send(build(SCCRQ))
        server = world.server.admit(20)
        waiting.expect(SCCRP)
        call.check()
        for stream in crowd:
            stream.close()
        wait_until(lambda: watch.descriptors(watch.worker(proc.pid)) < 60, 20, "descriptors to be free again")
        assert _cpu_over(watch.worker(proc.pid), 0.5) < 0.2, "spinning"
        for stream in world.clients[1].streams + world.server.streams:
            stream.close()
        assert proc.stop() == 0


def test_exhausted_descriptors_of_established_connections():
    "more connections that come up than there are descriptors for: those within the limit work, the others wait their turn"
    with World(proxy=False) as world:
        proc = _limited(world, 120)
        streams, up = [], []
        while len(streams) < 60:  # one after the other, as half-open ones would give way
            streams.append(world.dial())
            streams[-1].send(build(SCCRQ))
            wait_until(lambda: _ready(world.server.sock) or proc.lines("warning: new connections wait, at"), what="its turn")
            if not _ready(world.server.sock):
                break
            server = world.server.admit()
            streams[-1].expect(SCCRP)
            up.append(server)
        assert 20 <= len(up) < 60, f"{len(up)} came up"
        while len(streams) < 60:
            streams.append(world.dial())
            streams[-1].send(build(SCCRQ))
        for server in up:
            server.send(build(ECHO_RQ, identifier=1))
        served = [stream for stream in streams[:len(up)]]
        for stream in served:
            stream.expect(ECHO_RQ, identifier=1)
        for server in up:
            server.close()
        for stream in served:
            stream.expect_end()
            stream.close()
        server = world.server.accept()  # the others' turn has come
        server.expect(SCCRQ)
        server.close()
        for stream in streams[len(up):]:
            stream.close()
        assert proc.stop() == 0


def _serve_late(world):
    """A new client gets through, behind those of a crowd that ended meanwhile."""
    late = world.dial(client=1)
    late.send(build(SCCRQ, host=b"late"))
    deadline, host = time.monotonic() + 20, None
    while host != b"late" and time.monotonic() < deadline:
        server = world.server.accept(20)
        try:
            host = server.expect(SCCRQ).host
        except Ended:
            pass
    server.send(build(SCCRP))
    late.expect(SCCRP)


def test_descriptors_run_out_of_a_sudden():
    "a limit lowered under the running proxy, so that accepting or dialling fails: told, no spinning, and it recovers"
    with World(clients=2) as world:
        session = world.session(client=1)
        call = session.call(5, 7)
        pid = world.proxy.worker
        soft, hard = watch.descriptor_limit(pid)
        for spare in (0, 1):  # none to accept with; one for that, and none to dial with
            lowest = next(fd for fd in range(1000) if not os.path.lexists(f"/proc/{pid}/fd/{fd}"))
            mark = world.log.mark()
            watch.limit_descriptors(pid, lowest + spare, hard)
            crowd = [world.dial() for _ in range(5)]
            for stream in crowd:
                stream.send(build(SCCRQ))
            world.log.wait(r"Too many open files", after=mark)
            call.check()
            session.check()
            assert _cpu_over(pid, 0.7) < 0.2, "spinning"
            assert len(world.log.all(mark)) < 100, "a line for each try"
            watch.limit_descriptors(pid, soft, hard)
            for stream in crowd:
                stream.close()
            _serve_late(world)
            call.check()


# ---- floods ----


@tap.deadline(180)
def test_flood_of_junk_leaves_a_call_untouched():
    "a flood of junk connections and GRE from one address: another's call loses neither message nor packet"
    with World(clients=2, debug=False) as world, Sniffer(world.net.firewall, "inside") as wire:
        session = world.session(client=1)
        call = session.call(5, 7)
        growth = watch.Growth(world.proxy.worker)
        attacker, rate = world.net.client, round(15000 / tap.slowdown())
        floods = [
            gre_send_start(attacker, "-s", world.client.ip, "-d", world.net.inside, "-c", call.client_sees, "-q", 1,
                           "-l", 100, "-n", 60000, "-r", rate, "-w", 6),
            gre_send_start(attacker, "-s", world.client.ip, "-d", world.net.inside, "-c", 0, "-i", "-q", 1, "-l", 20,
                           "-n", 60000, "-r", rate, "-w", 6),
        ]
        seq = opened = 0
        while any(flood.running() for flood in floods):
            streams = []
            for junk in JUNK * 3:
                stream = world.dial(client=0)
                opened += 1
                try:
                    stream.send(junk)
                except ConnectionError:
                    pass
                streams.append(stream)
            for _ in range(10):
                seq += 1
                call.up(b"mine %d" % seq, seq)
                call.expect_up(b"mine %d" % seq, seq=seq)
                call.down(b"yours %d" % seq, seq)
                call.expect_down(b"yours %d" % seq, seq=seq)
            session.check()
            for stream in streams:
                stream.close()
            world.clients[0].streams.clear()
        assert opened > 100 and seq > 100, (opened, seq)
        assert not wire.matching(lambda p: p.out and p.protocol == 1), "ICMP"
        assert not world.server.dialled()
        growth.check(16 * MIB)
        call.check()
        session.check()


def _pin(process, cpus):
    for pid in filter(None, (process.pid, watch.worker(process.pid))):
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(task), cpus)


def _calls_under_a_flood(cpu, flood_cpus):
    """New calls while an established one floods the program's receive buffer."""
    with World(clients=2, debug=False) as world:
        flooding = world.session(client=0).call(5, 7)
        _pin(world.proxy, {cpu})
        floods = [gre_send_start(world.net.client, "-s", world.client.ip, "-d", world.net.inside, "-c",
                                 flooding.client_sees, "-q", 1, "-l", 20, "-n", 100000000, "-w", 60) for _ in range(4)]
        for flood in floods:
            _pin(flood, flood_cpus)
        took = []
        for number in range(10):
            drops = watch.raw_drops(world.net.firewall)
            wait_until(lambda: watch.raw_drops(world.net.firewall) > drops, 30, "the flood to saturate the GRE thread")
            began = time.monotonic()
            session = world.session(client=1)
            session.call(100 + number, 200 + number, settle=False)
            took.append(time.monotonic() - began)
        # What else the machine does may hold up one or another.
        assert sorted(took)[len(took) - 3] < tap.slowdown(), took
        assert all(flood.running() for flood in floods)


def test_calls_come_up_while_packets_flood():
    "a flood of a call's packets that saturates the GRE thread: new calls come up within a second"
    cpus = os.sched_getaffinity(0)
    _calls_under_a_flood(min(cpus), cpus)


def test_calls_come_up_while_packets_flood_one_core():
    "the same where one core does all of it"
    cpu = min(os.sched_getaffinity(0))
    _calls_under_a_flood(cpu, {cpu})


def test_flood_of_silent_connections():
    "four hundred silent connections of one address: another's call comes up meanwhile, and the deadline ends the flood"
    with World(["--handshake-timeout", "3"], clients=2, debug=False) as world:
        before = watch.descriptors(world.proxy.worker)
        silent = [world.dial(client=0) for _ in range(400)]
        session = world.session(client=1)
        session.call(5, 7).check()
        session.check()
        for stream in silent:
            stream.expect_end()
            stream.close()
        session.close()
        wait_until(lambda: watch.descriptors(world.proxy.worker) <= before, what="their descriptors to be closed")


def test_flood_of_messages():
    "a client that sends as fast as it can leaves other connections their turn"
    with World(clients=2, debug=False) as world:
        session = world.session(client=1)
        call = session.call(5, 7)
        flooder = world.session(client=0)
        octets = build(ECHO_RQ, identifier=9) * 200
        took = []
        for _ in range(100):
            flooder.client.send(octets)
            began = time.monotonic()
            session.check()
            call.check()
            took.append(time.monotonic() - began)
            for _ in range(200):
                flooder.server.expect(ECHO_RQ, identifier=9)
        # What else the machine does may hold up one or another.
        assert sorted(took)[90] < 2 * tap.slowdown(), f"{sorted(took)[85:]} s"


def test_junk_of_every_kind():
    "connections that open, say something odd in any pieces, and go, leave no trace but their lines"
    with World() as world:
        session = world.session()
        before = watch.descriptors(world.proxy.worker)
        for i in range(300):
            stream = world.dial()
            junk = JUNK[i % len(JUNK)]
            try:
                stream.send(junk[:i % 7], junk[i % 7:])
            except ConnectionError:
                pass
            stream.reset() if i % 2 else stream.close()
        session.check()
        wait_until(lambda: watch.descriptors(world.proxy.worker) == before, what="their descriptors to be closed")


def _send_odd_octets(world):
    odd = b"\x1b[2J\nforged: line\r\n\x00" + bytes(range(0x7F, 0xA0)) + b"\xff"
    client = world.dial()
    client.send(build(SCCRQ, host=odd, vendor=odd))
    server = world.server.accept()
    server.expect(SCCRQ)
    server.send(build(SCCRP, host=odd, vendor=odd))
    client.expect(SCCRP)
    client.send(b"\x1b[31m" * 10)
    client.expect_end()
    world.wait_line(client, CLOSED)


def test_untrusted_octets_are_escaped():
    "control characters that a peer sends never reach the log as they are, not even where packets are dumped"
    with tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as directory:
        log = Path(directory) / "log"
        with World(["-e", "-l", str(log)], debug=False, log_file=log) as world:
            _send_odd_octets(world)
            world.proxy.stop()
        octets = log.read_bytes()
    assert octets.count(b" 1b 5b 32 4a") == 8, "host and vendor, both ways, as they came and as they went"
    raw = set(octets) - {ord("\n")} - set(range(0x20, 0x7F))
    assert not raw, f"in the log: {sorted(raw)}"
    odd = [line for line in octets.splitlines() if not re.match(rb"\d{4}-\d\d-\d\dT|    [0-9a-f]{4} ", line)]
    assert not odd, odd


# ---- leaks ----


class Traffic:
    """Connections made and closed, in every way to end."""

    def __init__(self, world):
        self.world, self.lingering = world, []

    def forget(self):
        self.world.client.streams.clear()
        self.world.server.streams.clear()

    def connection(self, i, call):
        session = self.world.session()
        if call:
            call = session.call(i & 0xFFFF, (i * 7) & 0xFFFF)
            if i % 3 == 0:
                call.check()
                call.clear()
        kind = i % 4
        if i % 200 == 0:
            session.client.close()
            self.lingering.append(session.server)  # never closes of its own accord
        elif kind == 0:
            session.close()
        elif kind == 1:
            session.client.reset()
            session.server.close()
        elif kind == 2:
            session.server.close()
            session.client.expect_end()
            session.client.close()
        else:
            session.client.send(build(ECHO_RQ, cookie=i))
            session.server.expect_end()
            session.close()
        self.forget()

    def junk(self, i):
        """One that never gets as far as a server."""
        stream = self.world.dial()
        try:
            stream.send(JUNK[i % len(JUNK)])
        except ConnectionError:
            pass
        stream.close()
        self.forget()

    def close(self):
        for stream in self.lingering:
            stream.close()


@tap.deadline(240)
def test_ten_thousand_connections_leak_nothing():
    "ten thousand connections made and closed in every way leave memory, descriptors and threads as they were"
    with World() as world:
        pid = world.proxy.worker
        traffic = world.keep(Traffic(world))
        descriptors, threads = watch.descriptors(pid), watch.threads(pid)

        def settle():
            wait_until(lambda: watch.descriptors(pid) == descriptors, what="the descriptors to be closed")
            assert watch.threads(pid) == threads

        for i in range(1500):
            traffic.connection(i, call=i % 2)
            if i % 3 == 0:
                traffic.junk(i)
        talk = world.session()
        for i in range(150):  # a line each: the log's queue has been all round its megabyte
            talk.client.send(build(ECHO_RQ) * 100)
            for _ in range(100):
                talk.server.expect(ECHO_RQ)
        talk.close()
        settle()
        growth = watch.Growth(pid)
        for i in range(4000):
            traffic.connection(i, call=False)
        for i in range(2000):
            traffic.junk(i)
        settle()
        growth.check(256 << 10, "after 6000 connections without a call")
        growth = watch.Growth(pid)
        for i in range(2000):
            traffic.connection(i, call=True)
        settle()
        # Calls rest for 30 s with their IDs: some hundred octets each.
        growth.check(2 * MIB, "after 2000 connections with a call")
        last = world.session()
        last.call(5, 7).check()
        assert watch.descriptors(pid) == descriptors + 2, "a connection has two"
        opened = 750 + 2000 + 1
        wait_until(lambda: len(world.log.matching(CALL_OPENED)) >= opened, what="the last call's line")
        assert len(world.log.matching(CALL_OPENED)) == opened
        assert not world.log.matching(r"lines? (was|were) lost")
        # Before the end of the program, which ends what was held too long.
        wait_until(lambda: len(world.log.matching(ENDED)) >= opened - 1, what="all calls but one to end")
        assert len(world.log.matching(ENDED)) == opened - 1
        world.proxy.stop()
        held = int(world.log.wait(r"table of calls: 0 calls, (\d+) call IDs that rest")[1])
        young = time.monotonic() - 30 - 2 * tap.slowdown()  # the log's lines come a little late
        ended = [at for line, at in zip(world.log.all(), world.log.times) if at > young and ENDED in line]
        assert held <= 2 * len(ended), f"{held} IDs rest, {len(ended)} calls ended of late"


if __name__ == "__main__":
    tap.main()
