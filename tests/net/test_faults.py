#!/usr/bin/python3
"""Faults on purpose: the n-th call of a kind fails while a session is set up, used and ended, for each n that it has.

Whatever fails, the program lives, a call that was up before goes on, the next session works, and nothing leaks.
"""

import errno
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import faults as kinds
from lab import tap, watch
from lab.errors import LabTimeout, Skip
from lab.fake import PATIENCE, Ended, Gre, World
from lab.faults import Faults
from lab.messages import CCRQ, CDN, ECHO_RP, ECHO_RQ, OCRP, OCRQ, SCCRP, SCCRQ, STOP_RP, STOP_RQ, build, gre
from lab.netns import ip
from lab.proc import wait_until
from lab.proxy import SANITIZED, program

SHORT = 1.0 * tap.slowdown()  # patience with a session that may have been lost
MIB = 1 << 20
MOST = 400  # calls of one kind in a session; there are far fewer
LOST = (LabTimeout, Ended, AssertionError, OSError)


class Lab:
    """The world, with a bystander's call up between the second client and the second server."""

    def __init__(self, words=(), **options):
        self.faults = Faults()
        self.world = World(["-x", "/bin/true", *words], clients=2, servers=2, debug=False, env=self.faults.env, **options)
        self.pid = self.world.proxy.pid
        self.serial = 0
        self.bystander = self.world.session(client=1, server=1)
        self.call = self.bystander.call(5, 7)

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

    def settle(self, descriptors):
        """Nothing is left of earlier sessions."""
        def settled():
            while self.world.server.dialled():
                pass
            self.hang_up()
            return watch.descriptors(self.pid) <= descriptors
        wait_until(settled, PATIENCE, f"{descriptors} descriptors as before")

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


def run_with(made, kind, nth, error):
    """One session during which the nth call fails, and what must hold then. Answers whether there was an nth."""
    descriptors = made.descriptors
    made.faults.arm(kind, nth, error, pid=made.pid)
    complete = True
    try:
        made.session(SHORT, between=made.check_bystander)
    except LOST as lost:
        complete = False
        why = str(lost)
    wait_until(lambda: made.faults.hit() or watch.descriptors(made.pid) <= descriptors, PATIENCE, "the session's end")
    hit = made.faults.hit()
    made.faults.disarm()
    label = f"{kinds.NAMES[kind]} {nth}: {errno.errorcode[error]}"
    assert made.world.proxy.running(), f"{label}: the program ended"
    assert complete or hit, f"{label}: nothing failed, but the session: {why}"
    try:
        made.check_bystander()
        made.session(PATIENCE)
        made.settle(descriptors)
    except LOST as lost:
        raise AssertionError(f"after {label}: {type(lost).__name__}: {lost}") from lost
    return hit


def each_in_turn(kind, *errors, least=1, **options):
    """For each n that a session has."""
    if kind == kinds.MEMORY and SANITIZED.search(program().read_bytes()):
        raise Skip("a sanitizer has an allocator of its own, which no library stands in front of")
    with lab(**options) as made:
        made.descriptors = watch.descriptors(made.pid)
        made.session(PATIENCE)
        made.settle(made.descriptors)
        memory = watch.rss(made.pid)
        for error in errors:
            nth = 1
            while run_with(made, kind, nth, error):
                nth += 1
                assert nth < MOST
            tap.comment(f"{kinds.NAMES[kind]}, {errno.errorcode[error]}: {nth - 1} in a session")
            assert nth > least, "none was counted"
        assert watch.rss(made.pid) < memory + watch.bound(4 * MIB)
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
    each_in_turn(kinds.SPAWN, errno.EAGAIN)
    each_in_turn(kinds.PIPE, errno.EMFILE)


def test_faults_of_epoll():
    "each descriptor that cannot be watched: a connection that is deaf for it ends at --handshake-timeout, at the latest"
    each_in_turn(kinds.EPOLL, errno.ENOMEM, errno.ENOSPC, words=["--handshake-timeout", "2"])


def test_faults_of_the_log():
    "lines that cannot be written are lost, and nothing else"
    each_in_turn(kinds.WRITE, errno.ENOSPC)


if __name__ == "__main__":
    tap.main()
