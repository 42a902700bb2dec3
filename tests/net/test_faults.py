#!/usr/bin/python3
"""Faults on purpose: the n-th call of a kind fails while a session is set up, used and ended, for each n that it has, in
the worker and in the keeper; and in the keeper while a worker dies, the configuration changes, the program is upgraded.

Whatever fails, both live, a call that was up before goes on, the next session works, and nothing leaks.
"""

import errno
import os
import signal
import socket
import struct
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import faults as kinds
from lab import tap, turmoil, watch
from lab.errors import LabTimeout, Skip
from lab.fake import PATIENCE, Ended, World
from lab.faults import Faults
from lab.messages import CCRQ, CDN, ECHO_RP, ECHO_RQ, OCRP, OCRQ, SCCRP, SCCRQ, STOP_RP, STOP_RQ, build
from lab.netns import RUN_PREFIX, ip, need
from lab.proc import wait_until
from lab.proxy import CLOSED, READY, SANITIZED, START, Proxy, program
from lab.sniff import Sniffer
from lab.topo import DualHomed

SHORT = 1.0 * tap.slowdown()  # patience with a session that may have been lost
MIB = 1 << 20
SERVER = "10.2.0.10"
# Not of epoll: changes wait for the loop, which then can tell nobody (EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST).
START_FAULTS = [(kinds.MEMORY, errno.ENOMEM), (kinds.SOCKET, errno.EMFILE), (kinds.OPTION, errno.ENOBUFS),
                (kinds.PIPE, errno.EMFILE), (kinds.EVENTFD, errno.EMFILE), (kinds.MMAP, errno.ENOMEM),
                (kinds.OPEN, errno.EMFILE)]
# Type, code and the word behind them: unreachable in every way, with a small MTU, quench, time exceeded, a bad header.
ICMP_ERRORS = [*((3, code, 0) for code in range(16) if code != 4), (3, 4, 1400), (3, 4, 576), (3, 4, 68), (3, 4, 0), (4, 0, 0),
               (11, 0, 0), (11, 1, 0), (12, 0, 0x14000000)]
MOST = 400  # calls of one kind in a session; there are far fewer
LOST = (LabTimeout, Ended, AssertionError, OSError)


class Lab:
    """The world, with a bystander's call up between the second client and the second server."""

    def __init__(self, words=(), **options):
        self.faults = Faults()
        self.world = World(["-x", "/bin/true", *words], clients=2, servers=2, debug=False, env=self.faults.env, **options)
        self.keeper, self.worker = self.world.proxy.pid, self.world.proxy.worker
        self.pid = self.worker  # of the process whose calls fail
        self.serial = 0
        alone = watch.descriptors(self.keeper)
        self.bystander = self.world.session(client=1, server=1)
        self.call = self.bystander.call(5, 7)
        # Nobody waits for the keeper to take both legs: packets may flow before it has them.
        wait_until(lambda: watch.descriptors(self.keeper) == alone + 2, PATIENCE, "the keeper to hold the bystander's legs")

    def descriptors(self):
        return watch.descriptors(self.keeper), watch.descriptors(self.worker)

    def check_bystander(self):
        """Its messages and packets arrive. What the program does for it is not counted."""
        with self.faults.paused():
            self.bystander.check()
            self.call.check()

    def accept(self, serial, timeout):
        """The server's end of this session; those of sessions that were lost half-way are let go."""
        deadline = time.monotonic() + timeout
        while True:
            other = self.world.server.accept(max(deadline - time.monotonic(), 0.01))
            try:
                if other.receive(timeout).firmware == serial:
                    return other
            except Ended:
                pass
            other.close()

    def session(self, timeout, between=lambda: None):
        """A session from its first to its last octet. Raises one of LOST if it does not get there."""
        self.serial += 1
        client, server = self.world.client, self.world.server
        try:
            one = self.world.dial()
            one.send(build(SCCRQ, firmware=self.serial))
            other = self.accept(self.serial, timeout)
            other.send(build(SCCRP))
            one.expect(SCCRP, timeout)
            between()
            one.send(build(OCRQ, call_id=21))
            shown_server = other.expect(OCRQ, timeout).call_id
            other.send(build(OCRP, call_id=22, peer_id=shown_server))
            shown_client = one.expect(OCRP, timeout, peer_id=21).call_id
            between()
            for sequence in range(2):
                text = b"%d of session %d" % (sequence, self.serial)
                client.gre.send(one.remote[0], shown_client, text, seq=sequence)
                self.until(server.gre, text, timeout)
                server.gre.send(other.remote[0], shown_server, text, seq=sequence)
                self.until(client.gre, text, timeout)
            one.send(build(ECHO_RQ))
            other.expect(ECHO_RQ, timeout)
            other.send(build(ECHO_RP))
            one.expect(ECHO_RP, timeout)
            between()
            one.send(build(CCRQ, call_id=21))
            other.expect(CCRQ, timeout, call_id=shown_server)
            other.send(build(CDN, call_id=22))
            one.expect(CDN, timeout, call_id=shown_client)
            one.send(build(STOP_RQ))
            other.expect(STOP_RQ, timeout)
            other.send(build(STOP_RP))
            one.expect(STOP_RP, timeout)
        finally:
            self.hang_up()

    @staticmethod
    def until(socket, text, timeout):
        """The packet with this text, whatever an earlier session may have left before it."""
        deadline = time.monotonic() + timeout
        while socket.receive(deadline - time.monotonic()).payload != text:
            pass

    def hang_up(self):
        for host in (self.world.client, self.world.server):
            for stream in host.streams:
                stream.close()
            host.streams.clear()

    def settle(self, before):
        """No descriptors are left of earlier sessions, in either process."""
        def settled():
            while self.world.server.dialled():
                pass
            self.hang_up()
            return all(map(int.__le__, self.descriptors(), before))
        wait_until(settled, PATIENCE, f"{before} descriptors as before")

    def close(self):
        self.faults.disarm()
        self.world.__exit__(None, None, None)
        self.faults.close()


@contextmanager
def lab(**options):
    made = Lab(**options)
    try:
        yield made
    except BaseException:
        made.world._stack.close()
        made.faults.close()
        raise
    made.close()


def lost_with(made, kind, nth, error, before, patience):
    """One session during which the nth call fails: whether there was an nth, and why the session was lost, if it was."""
    made.faults.arm(kind, nth, error, pid=made.pid)
    why = None
    try:
        made.session(patience, between=made.check_bystander)
    except LOST as lost:
        why = str(lost)
    wait_until(lambda: made.faults.hit() or all(map(int.__le__, made.descriptors(), before)), PATIENCE, "the session's end")
    hit = made.faults.hit()
    made.faults.disarm()
    return hit, why


def run_with(made, kind, nth, error, before):
    """One session during which the nth call fails, and what must hold then. Answers whether there was an nth."""
    hit, why = lost_with(made, kind, nth, error, before, SHORT)
    if why and not hit:  # too little patience, on a busy machine
        made.settle(before)
        hit, why = lost_with(made, kind, nth, error, before, PATIENCE)
    label = f"{kinds.NAMES[kind]} {nth}: {errno.errorcode[error]}"
    assert made.world.proxy.running(), f"{label}: the program ended"
    assert watch.worker(made.keeper) == made.worker, f"{label}: the worker died"
    assert hit or not why, f"{label}: nothing failed, but the session: {why}"
    try:
        made.check_bystander()
        made.session(PATIENCE)
        made.settle(before)
    except LOST as lost:
        raise AssertionError(f"after {label}: {type(lost).__name__}: {lost}") from lost
    return hit


def needs_our_allocator(kind):
    if kind == kinds.MEMORY and SANITIZED.search(program().read_bytes()):
        raise Skip("a sanitizer has an allocator of its own, which no library stands in front of")


def each_in_turn(kind, *errors, least=1, keeper=False, **options):
    """For each n that a session has, in the worker or in the keeper."""
    needs_our_allocator(kind)
    with lab(**options) as made:
        made.pid = made.keeper if keeper else made.worker
        before = made.descriptors()
        made.session(PATIENCE)
        made.settle(before)
        growth = watch.Growth(made.pid)
        for error in errors:
            nth = 1
            while run_with(made, kind, nth, error, before):
                nth += 1
                assert nth < MOST
            tap.comment(f"{kinds.NAMES[kind]}, {errno.errorcode[error]}: {nth - 1} in a session")
            assert nth > least, "none was counted"
        growth.check(4 * MIB)
        made.call.check(b"to the end")


def test_faults_of_memory():
    "each allocation of a session fails in turn: only that session is lost, and nothing leaks"
    each_in_turn(kinds.MEMORY, errno.ENOMEM)


test_faults_of_memory.deadline = 400


def test_faults_of_socket():
    "no socket for the server's side"
    each_in_turn(kinds.SOCKET, errno.EMFILE, errno.ENOBUFS)


def test_faults_of_accept():
    "each accept() fails in turn"
    each_in_turn(kinds.ACCEPT, errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ENOMEM)


def test_faults_of_connect():
    "each connect() fails in turn, at once"
    each_in_turn(kinds.CONNECT, errno.ENETUNREACH, errno.EADDRNOTAVAIL)


def test_faults_of_send():
    "each sending, of messages and of packets, fails in turn"
    each_in_turn(kinds.SEND, errno.ENOBUFS, errno.ENETUNREACH)


def test_faults_of_receive():
    "each receiving, of messages and of packets, fails in turn"
    each_in_turn(kinds.RECEIVE, errno.ENOMEM, errno.EINTR)


def test_faults_of_setsockopt():
    "each setsockopt() fails in turn"
    each_in_turn(kinds.OPTION, errno.ENOBUFS)


def test_faults_of_commands():
    "an access command that cannot be started, or whose pipe cannot be made"
    each_in_turn(kinds.SPAWN, errno.EAGAIN, keeper=True)
    each_in_turn(kinds.PIPE, errno.EMFILE, keeper=True)


def test_faults_of_epoll():
    "each descriptor that cannot be watched: a connection that is deaf for it ends at --handshake-timeout, at the latest"
    each_in_turn(kinds.EPOLL, errno.ENOMEM, errno.ENOSPC, words=["--handshake-timeout", "2"])


def test_faults_of_the_log():
    "lines that cannot be written are lost, and nothing else"
    each_in_turn(kinds.WRITE, errno.ENOSPC)


def test_faults_in_the_keeper():
    "each allocation, sending and receiving of the keeper during a session, and what it would watch, fails in turn"
    each_in_turn(kinds.SEND, errno.ENOBUFS, keeper=True)
    each_in_turn(kinds.RECEIVE, errno.ENOMEM, errno.EINTR, keeper=True)
    each_in_turn(kinds.EPOLL, errno.ENOMEM, keeper=True)
    each_in_turn(kinds.WRITE, errno.ENOSPC, keeper=True, least=0)
    each_in_turn(kinds.MEMORY, errno.ENOMEM, keeper=True)


test_faults_in_the_keeper.deadline = 300


# ---- what befalls the program ----

KEEPER_FAULTS = [(kinds.SEND, errno.ENOBUFS), (kinds.RECEIVE, errno.ENOMEM), (kinds.SPAWN, errno.EAGAIN),
                 (kinds.PIPE, errno.EMFILE), (kinds.OPEN, errno.EMFILE), (kinds.EPOLL, errno.ENOMEM),
                 (kinds.MEMORY, errno.ENOMEM)]


def befall(made, event, kind, error, before):
    """event(made) with each call of the keeper's failing in turn that it leads to: the calls that were up go on."""
    nth, hit = 0, True
    while hit:
        nth += 1
        assert nth < MOST
        label = f"{kinds.NAMES[kind]} {nth}: {errno.errorcode[error]}"
        made.faults.arm(kind, nth, error, pid=made.keeper)
        try:
            event(made)
            hit = made.faults.hit()
            made.faults.disarm()
            assert made.world.proxy.running(), "the program ended"
            # A worker that could not be told something may just be about to be replaced.
            wait_until(lambda: watch.worker(made.keeper), turmoil.PATIENCE, "a worker")
            made.check_bystander()
            made.session(PATIENCE)
            made.worker = made.world.proxy.worker
            made.settle(before)
        except LOST as lost:
            raise AssertionError(f"{label}: {type(lost).__name__}: {lost}") from lost
    tap.comment(f"{kinds.NAMES[kind]}, {errno.errorcode[error]}: {nth - 1}")


def each_befalls(event, *more):
    """Of all kinds that there can be."""
    with tempfile.NamedTemporaryFile("w", prefix=RUN_PREFIX) as file:
        file.write("handshake-timeout 60\n")
        file.flush()
        with lab(words=["-c", file.name]) as made:
            event(made)
            made.check_bystander()
            made.worker = made.world.proxy.worker
            before = made.descriptors()
            for kind, error in [*KEEPER_FAULTS, *more]:
                if kind != kinds.MEMORY or not SANITIZED.search(program().read_bytes()):
                    befall(made, event, kind, error, before)


def dies(made):
    turmoil.kill(made.world.proxy).over()


def reloads(made):
    turmoil.wake(made.world.proxy, signal.SIGHUP, f"{turmoil.CHANGED}|{turmoil.NOT_CHANGED}")


def upgrades(made):
    turmoil.wake(made.world.proxy, signal.SIGUSR2, f"{turmoil.UPGRADED}|{turmoil.NOT_UPGRADED}")


def test_faults_at_a_death():
    "a worker dies, and what the keeper does about it fails, call by call: there is another one, and calls go on"
    each_befalls(dies)


def test_faults_at_a_reload():
    "what the keeper does for a new configuration fails, call by call: it is in use, or refused and said so"
    each_befalls(reloads)


def test_faults_at_an_upgrade():
    "what the keeper does for an upgrade fails, call by call: it is done, or refused and said so"
    each_befalls(upgrades, (kinds.EXEC, errno.ENOEXEC))


for befalls in (test_faults_at_a_death, test_faults_at_a_reload, test_faults_at_an_upgrade):
    befalls.deadline = 400


# ---- at the start ----


def start_with(made, kind, nth, error, whose):
    """The program either gets ready, or ends with a sentence. Answers whether there was an nth."""
    made.faults.arm(kind, nth, error, **whose)
    label = f"{kinds.NAMES[kind]} {nth}: {errno.errorcode[error]}"
    with Proxy(made.firewall, ["-p", f"0.0.0.0:1723,{SERVER}"], env=made.faults.env, ready=False, debug=False) as proxy:
        wait_until(lambda: proxy.log.matching(READY) or not proxy.running(), START, f"{label}: readiness, or the end")
        hit = made.faults.hit()
        made.faults.disarm()
        if proxy.running():
            proxy.stop()
        else:
            status = proxy.wait()
            assert hit and status == 1, f"{label}: status {status}"
            assert proxy.log.all(), f"{label}: it ended without a word"
    return hit


def test_faults_at_the_start():
    "whatever fails at the start, in keeper or worker, the program is ready, or says what it was and ends with status 1"
    with DualHomed() as net, Faults() as made_faults:
        made = SimpleNamespace(firewall=net.firewall, faults=made_faults)
        for (kind, error), whose in product(START_FAULTS, ({"parent": os.getpid()}, {"worker": True})):
            nth = 1
            while start_with(made, kind, nth, error, whose):
                nth += 1
            tap.comment(f"{next(iter(whose))}: {kinds.NAMES[kind]}, {errno.errorcode[error]}: {nth - 1} at the start")


test_faults_at_the_start.deadline = 300


# ---- the network ----


def session_fails(made, pattern):
    """A session that cannot be, and the line that says why."""
    mark = made.world.log.mark()
    try:
        made.session(SHORT)
    except LOST:
        made.world.log.wait(pattern, PATIENCE, after=mark)
        return
    raise AssertionError("the session works")


def comes_back(made):
    """The bystander's call, whose ends may have to send once more what was lost on the way."""
    made.bystander.check()

    def carried():
        text = b"back %d" % time.monotonic_ns()
        made.call.up(text)
        try:
            made.until(made.world.servers[1].gre, text, 0.2)
        except LabTimeout:
            return False
        return True

    wait_until(carried, PATIENCE, "the way to the server")
    made.call.down(b"back, down")
    made.until(made.world.clients[1].gre, b"back, down", PATIENCE)
    made.session(PATIENCE)


@contextmanager
def cut(*commands):
    """The first command now, the others afterwards; each words behind `ip -n firewall`."""
    first, *rest = commands
    ip(*first.split())
    try:
        yield
    finally:
        for command in rest:
            ip(*command.split())


def test_link_down_and_up():
    "while the servers' link is down new sessions are refused with the reason; the call that was up goes on behind it"
    with lab() as made:
        name = made.world.net.firewall.name
        with cut(f"-n {name} link set outside down", f"-n {name} link set outside up"):
            made.call.up(b"into the void")
            session_fails(made, "Network is unreachable")
        comes_back(made)


def test_route_gone_and_back():
    "while there is no route to the servers new sessions are refused with the reason; the call that was up goes on behind it"
    with lab() as made:
        name = made.world.net.firewall.name
        for kind, why in (("unreachable", "No route to host"), ("prohibit", "Permission denied|Network is unreachable|No route"),
                          ("blackhole", "Invalid argument|unreachable")):
            with cut(f"-n {name} route replace {kind} 10.2.0.0/25", f"-n {name} route del {kind} 10.2.0.0/25"):
                made.call.up(b"into the void")
                session_fails(made, f"closed: no server.*({why})")
            comes_back(made)


def test_address_gone_and_back():
    "an address of ours that goes and comes back: calls by it go on behind it"
    with lab() as made:
        name = made.world.net.firewall.name
        with cut(f"-n {name} addr del 10.2.0.1/24 dev outside", f"-n {name} addr add 10.2.0.1/24 dev outside"):
            made.call.up(b"into the void")
            session_fails(made, "closed: no server")
        comes_back(made)


def internet_header(protocol, source, destination, length):
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 7, 0, 64, protocol, 0, socket.inet_aton(source),
                       socket.inet_aton(destination))


def icmp(kind, code, rest, quoted):
    """The octets of an ICMP message about a packet."""
    message = struct.pack("!BBHI", kind, code, 0, rest) + quoted
    message += bytes(len(message) % 2)
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]


def test_icmp_errors_end_no_call():
    "ICMP errors of every kind about a call's messages and packets: it goes on, also with large packets"
    with lab() as made, Sniffer(made.world.net.servers[1], "eth0") as wire:
        host = made.world.net.servers[1]
        made.check_bystander()
        quoted = [packet for packet in (
            wire.wait(lambda p: not p.out and p.protocol == 47),
            wire.matching(lambda p: not p.out and p.protocol == 6 and p.data)[-1])]
        with host:
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMP)
        with closing(raw):
            for packet in quoted:
                about = internet_header(packet.protocol, packet.source, packet.destination, len(packet.octets))
                for kind, code, rest in ICMP_ERRORS:
                    raw.sendto(icmp(kind, code, rest, about + packet.octets[:20]), (packet.source, 0))
                    made.check_bystander()
        large = bytes(range(256)) * 5
        made.call.up(large)
        made.call.expect_up(large)
        made.session(PATIENCE)


def test_server_that_is_refused_by_icmp():
    "a server that a router refuses to reach by ICMP: the client is let go at once, with the reason; others go on"
    need("nft")
    with lab() as made:
        host = made.world.net.servers[0]
        for code, why in (("host-unreachable", "No route to host"), ("net-unreachable", "Network is unreachable"),
                          ("admin-prohibited", "No route to host"), ("port-unreachable", "Connection refused")):
            host.run(["nft", "-f", "-"], input="flush ruleset\ntable ip t { chain c { type filter hook input priority 0;\n"
                     f"tcp dport 1723 reject with icmp {code}\n}}\n}}\n")
            session_fails(made, f"closed: no server.*{why}")
            made.check_bystander()
        host.run(["nft", "flush", "ruleset"])
        made.session(PATIENCE)


def test_full_queue():
    "a link that is too slow for what is to leave: packets are lost there, and nothing afterwards"
    need("tc")
    with lab() as made:
        firewall = made.world.net.firewall
        if firewall.run(["tc", "qdisc", "add", "dev", "outside", "root", "tbf", "rate", "256kbit", "burst", "3k", "limit",
                         "6k"], check=False).returncode:
            raise Skip("this kernel has no token bucket")
        for number in range(2000):
            made.call.up(bytes(1000), seq=number)
        firewall.run(["tc", "qdisc", "del", "dev", "outside", "root"])
        comes_back(made)
        made.settle(made.descriptors())


def test_clock_of_the_day_steps():
    "the clock of the day steps by a year, forth and back: no deadline is missed or reached by it"
    with lab(words=["--handshake-timeout", "60"]) as made:
        half = made.world.dial(client=1)  # says nothing: it waits for its deadline
        for year in (365, -365, 0):
            mark = made.world.log.mark()
            made.faults.clock(year * 86400)
            made.check_bystander()
            made.session(PATIENCE)
            made.check_bystander()
            ended = [line for line in made.world.log.matching(CLOSED, mark) if str(half.local[1]) in line]
            assert not ended, ended
        half.sock.setblocking(False)
        try:
            raise AssertionError(f"it was let go: {half.sock.recv(1)}")
        except BlockingIOError:
            pass


if __name__ == "__main__":
    tap.main()
