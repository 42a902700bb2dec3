#!/usr/bin/python3
"""The control connection as a stream: whole messages in any segmentation, lies, ends, deadlines."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import messages, tap, tcp, watch
from lab.dns import Dns, Etc
from lab.fake import Session, World
from lab.messages import (CCRQ, CDN, ECHO_RP, ECHO_RQ, ICCN, ICRP, ICRQ, LENGTH, OCRP, OCRQ, SCCRP, SCCRQ, SLI, STOP_RP,
                          STOP_RQ, WEN, build)
from lab.proc import wait_until
from lab.proxy import CLOSED, CONNECTED, MALFORMED, CALL_ENDED, CALL_OPENED
from lab.sniff import Sniffer

TCP = 6
HANDSHAKE = ["--handshake-timeout", "1"]


# ---- the start ----


def test_the_server_is_dialled_after_the_whole_first_message():
    "the server is dialled only once the client's whole Start-Control-Connection-Request is there"
    with World() as world:
        slow = world.dial()
        request = build(SCCRQ, host=b"slow")
        for at in range(len(request) - 1):
            slow.send(request[at:at + 1])
        world.session().check()  # the server took the later one first
        assert not world.server.dialled(), "the server was dialled for a part of a message"
        slow.send(request[-1:])
        world.server.accept().expect_octets(request)


def test_the_first_message_reaches_the_server_in_one_segment():
    "a first message that came in pieces reaches the server as one segment"
    with World() as world, Sniffer(world.net.server, "eth0") as wire:
        slow = world.dial()
        request = build(SCCRQ)
        for at in range(0, len(request), 7):
            slow.send(request[at:at + 7])
        world.server.accept().expect_octets(request)
        first = wire.wait(lambda p: p.protocol == TCP and not p.out and p.data)
        assert first.data == request, f"the first segment has {len(first.data)} octets"


def test_each_message_is_a_segment():
    "each message leaves in a segment of its own, however they came, and both ways"
    with World() as world:
        session = world.session()
        for stream, other, ns in ((session.client, session.server, world.net.server),
                                  (session.server, session.client, world.net.client)):
            with Sniffer(ns, "eth0") as wire:
                burst = [build(ECHO_RQ, identifier=i, tail=b"x" * i) for i in range(8)]
                stream.send(b"".join(burst))
                for octets in burst:
                    other.expect_octets(octets)
                seen = [p.data for p in wire.all() if p.protocol == TCP and not p.out and p.data]
                assert seen == burst, f"segments of {[len(data) for data in seen]} octets"


def test_log_tells_the_life_of_a_connection():
    "the log has a line for connected, for a call's begin and end, and for the close, with number and addresses"
    with World() as world:
        session = world.session()
        call = session.call(5, 7)
        call.up(b"twelve octet")
        call.expect_up(b"twelve octet")
        call.clear()
        session.client.close()
        session.server.expect_end()
        head = r"#\d+ 10\.1\.0\.10:%d -> 10\.2\.0\.10:1723" % session.client.local[1]
        for pattern in (CONNECTED, CALL_OPENED, CALL_ENDED, CLOSED):
            world.log.wait(head + pattern)
        assert world.lines(session.client, r"call opened: client ID 5 \(server sees 5\), server ID 7 \(client sees 7\)")
        end = world.lines(session.client, CALL_ENDED)
        assert len(end) == 1, end
        assert "client sent 1 packets, 44 octets" in end[0], end  # 20 IP, 12 GRE, 12 payload
        assert "server sent 0 packets, 0 octets" in end[0], end


# ---- segmentation ----


class Split:
    """Sends messages in two parts and lets the proxy look at the first before it gets the second."""

    def __init__(self, world, reverse):
        self.session, self.other = world.session(), world.session()
        self.pns, self.pac = self.session.client, self.session.server
        if reverse:
            self.pns, self.pac = self.pac, self.pns

    def barrier(self):
        """What was sent before this has been looked at: the proxy takes its sockets in turn."""
        self.other.client.send(build(ECHO_RQ))
        self.other.server.expect(ECHO_RQ)

    def at_every_octet(self, sender, octets, expected=None, after=None):
        """octets: the message, or a function that makes the one for a split; expected: what comes
        out, likewise (by default the same)."""
        receiver = self.pac if sender is self.pns else self.pns
        make = octets if callable(octets) else lambda at: octets
        for at in range(1, len(make(1))):
            message = make(at)
            sender.send(message[:at])
            self.barrier()
            sender.send(message[at:])
            receiver.expect_octets(expected(at) if expected else message)
            if after:
                after(at)


def _split_everything(reverse):
    with World() as world:
        split = Split(world, reverse)
        pns, pac = split.pns, split.pac
        split.at_every_octet(pns, build(ECHO_RQ))
        split.at_every_octet(pac, build(ECHO_RP))
        split.at_every_octet(pns, build(99, tail=b"unknown to everybody"))
        # Outgoing calls 1000+, opened one by one; then cleared, and the same call's other messages.
        split.at_every_octet(pns, lambda at: build(OCRQ, call_id=1000 + at))
        split.at_every_octet(pac, lambda at: build(OCRP, call_id=2000 + at, peer_id=1000 + at))
        split.at_every_octet(pns, build(SLI, peer_id=2001))
        split.at_every_octet(pac, build(WEN, peer_id=1001))
        split.at_every_octet(pns, build(CCRQ, call_id=1001))
        for at in range(LENGTH[OCRP], LENGTH[OCRQ]):
            pac.send(build(OCRP, call_id=2000 + at, peer_id=1000 + at))
            pns.expect(OCRP)
        split.at_every_octet(pac, lambda at: build(CDN, call_id=2000 + at))
        # Incoming calls 3000+.
        split.at_every_octet(pac, lambda at: build(ICRQ, call_id=3000 + at))
        split.at_every_octet(pns, lambda at: build(ICRP, call_id=4000 + at, peer_id=3000 + at))
        split.at_every_octet(pac, build(ICCN, peer_id=4001))
        split.at_every_octet(pns, build(STOP_RQ))
        split.at_every_octet(pac, build(STOP_RP))
        split.session.check()


def test_messages_split_at_every_octet():
    "every message type passes split at every octet, the client being the PNS"
    _split_everything(reverse=False)


def test_messages_split_at_every_octet_reversed():
    "every message type passes split at every octet, the server being the PNS"
    _split_everything(reverse=True)


def test_start_messages_split_at_every_octet():
    "Start-Control-Connection-Request and -Reply pass split at every octet"
    with World() as world:
        split = Split(world, False)
        request, reply = build(SCCRQ), build(SCCRP)
        for at in range(1, len(request)):
            client = world.dial()
            client.send(request[:at])
            split.barrier()
            client.send(request[at:])
            server = world.server.accept()
            server.expect_octets(request)
            server.send(reply[:at])
            split.barrier()
            server.send(reply[at:])
            client.expect_octets(reply)
            client.close()
            server.close()


def _conversation(session, one, other, pns_id, pac_id):
    """All messages of a connection as each end sends them, in an order that makes sense when each
    end's are sent in one piece and the request comes first."""
    first = [build(ECHO_RQ, identifier=1), build(OCRQ, call_id=pns_id), build(ECHO_RP), build(98, tail=b"?")]
    answer = [build(OCRP, call_id=pac_id, peer_id=pns_id), build(WEN, peer_id=pns_id), build(ECHO_RQ, identifier=2),
              build(ICRQ, call_id=pac_id + 1)]
    third = [build(SLI, peer_id=pac_id), build(ICRP, call_id=pns_id + 1, peer_id=pac_id + 1), build(CCRQ, call_id=pns_id)]
    last = [build(ICCN, peer_id=pns_id + 1), build(CDN, call_id=pac_id), build(CDN, call_id=pac_id + 1), build(STOP_RQ)]
    end = [build(STOP_RP), build(ECHO_RQ, identifier=3)]
    return [(one, other, first), (other, one, answer), (one, other, third), (other, one, last), (one, other, end)]


def _joined(reverse, size):
    with World() as world:
        session = world.session()
        one, other = session.client, session.server
        if reverse:
            one, other = other, one
        for sender, receiver, batch in _conversation(session, one, other, 50, 60):
            joined = b"".join(batch)
            sender.send(*[joined[at:at + size] for at in range(0, len(joined), size)])
            for octets in batch:
                receiver.expect_octets(octets)
        session.check()


def test_messages_joined_with_their_neighbours():
    "messages joined in one segment come out one by one, whichever end is the PNS"
    for reverse in (False, True):
        _joined(reverse, 100000)


def test_messages_cut_anywhere():
    "a stream cut into pieces of 1 to 60 octets comes out as the same messages"
    for size in (1, 3, 11, 13, 17, 60):
        _joined(False, size)


def test_first_message_joined_with_the_next():
    "what the client sends right behind its first message is kept until the server is there"
    with World() as world:
        client = world.dial()
        batch = [build(SCCRQ), build(OCRQ, call_id=9), build(ECHO_RQ)]
        client.send(b"".join(batch))
        server = world.server.accept()
        for octets in batch:
            server.expect_octets(octets)


# ---- what is not ours to judge ----


def test_odd_but_legal_messages_pass_unchanged():
    "unknown types, reserved bits, longer messages than the RFC's and odd results pass octet by octet"
    with World() as world:
        session = world.session()
        odd = [
            build(0, tail=b"type zero"), build(16), build(0xFFFF, tail=b"\x1a\x2b\x3c\x4d" * 3),
            build(ECHO_RQ, reserved0=0xFFFF), build(SCCRQ, reserved0=1, tail=b"and more"),
            build(200, tail=bytes(1012)), build(ECHO_RQ, tail=bytes(range(256)) * 3), build(SCCRP, result=0),
            build(SCCRP, result=2, error=3), build(STOP_RQ, reason=9), build(ECHO_RP, result=2, error=7),
        ]
        for stream, other in ((session.client, session.server), (session.server, session.client)):
            stream.send(b"".join(odd))
            for octets in odd:
                other.expect_octets(octets)
        session.check()


def test_odd_bits_in_calls_pass():
    "Reserved0 and octets behind a call's messages pass unchanged while its IDs are translated"
    with World() as world:
        world.session().call(5, 7)  # takes 5 and 7, so that the next call's are others
        session = world.session()
        session.client.send(build(OCRQ, call_id=5, reserved0=7, tail=b"more"))
        request = session.server.receive()
        sees = request.call_id
        assert sees != 5
        assert request == build(OCRQ, call_id=sees, reserved0=7, tail=b"more")
        session.server.send(build(OCRP, call_id=7, peer_id=sees, reserved0=8, tail=b"rest"))
        reply = session.client.receive()
        assert reply.call_id != 7
        assert reply == build(OCRP, call_id=reply.call_id, peer_id=5, reserved0=8, tail=b"rest")


def test_reply_with_result_zero_counts_as_success():
    "a Start-Control-Connection-Reply with result 0 is a success: the handshake deadline is over"
    with World(["--handshake-timeout", str(round(2 * tap.slowdown()))]) as world:
        client = world.dial()
        client.send(build(SCCRQ))
        server = world.server.accept()
        server.expect(SCCRQ)
        server.send(build(SCCRP, result=0))
        client.expect(SCCRP, result=0)
        world.dial().expect_end()  # a silent one that came later has been put out
        Session(world.client, client, world.server, server).check()


# ---- lies ----

LIES = {
    "a wrong first octet of the cookie": build(ECHO_RQ, cookie=0x9A2B3C4D),
    "a wrong last octet of the cookie": build(ECHO_RQ, cookie=0x1A2B3C4C),
    "a cookie of zeros": build(ECHO_RQ, cookie=0),
    "length 0": build(ECHO_RQ, length=0),
    "length 11": build(ECHO_RQ, length=11),
    "length 1025": build(99, tail=bytes(1013)),
    "length 65535": build(ECHO_RQ, length=65535),
    "message type 0": build(ECHO_RQ, message_type=0),
    "message type 2": build(ECHO_RQ, message_type=2),
    "message type 0x0100": build(ECHO_RQ, message_type=0x0100),
    "two octets of a length": b"\0\x05",
}
for _kind in messages.TYPES:
    LIES[f"{messages.name(_kind)} an octet too short"] = build(_kind, length=LENGTH[_kind] - 1)[:-1]
    LIES[f"{messages.name(_kind)} of a header alone"] = build(_kind, length=12)[:12]


def _assert_one_line(world, stream, what):
    world.wait_line(stream, CLOSED)
    lines = world.lines(stream, MALFORMED)
    assert len(lines) == 1, f"{what}: {len(lines)} lines: {lines}"


def test_lies_of_the_client_before_the_server_is_dialled():
    "every lie in the client's first message closes its connection, and the server never hears of it"
    with World() as world:
        bystander = world.session()
        call = bystander.call(5, 7)
        for what, octets in LIES.items():
            client = world.dial()
            client.send(octets)
            client.expect_end()
            _assert_one_line(world, client, what)
        bystander.check()
        call.check()
        assert not world.server.dialled()


def _lies_of(side):
    with World() as world:
        bystander = world.session()
        call = bystander.call(5, 7)
        for what, octets in LIES.items():
            session = world.session()
            session.call(5, 7)
            liar, other = (session.client, session.server) if side == "client" else (session.server, session.client)
            liar.send(octets)
            try:
                other.expect_end()
                liar.expect_end()
            except AssertionError as error:
                raise AssertionError(f"{what}: {error}") from error
            _assert_one_line(world, session.client, what)
            assert world.lines(session.client, CALL_ENDED), what
            bystander.check()
            call.check(what.encode())
        assert len(world.log.matching(MALFORMED)) == len(LIES)


def test_lies_of_the_client():
    "every lie of the client closes both ends of its connection with one line; a bystander's call goes on"
    _lies_of("client")


def test_lies_of_the_server():
    "every lie of the server closes both ends of its connection with one line; a bystander's call goes on"
    _lies_of("server")


def test_messages_before_a_lie_are_delivered():
    "true messages in front of a lie are delivered, what follows it is not searched for more"
    with World() as world:
        for from_client in (True, False):
            session = world.session()
            one, other = session.client, session.server
            if not from_client:
                one, other = other, one
            truth = [build(ECHO_RQ, identifier=i) for i in range(5)]
            one.send(b"".join(truth) + build(ECHO_RQ, cookie=1) + build(ECHO_RQ, identifier=99))
            for octets in truth:
                other.expect_octets(octets)
            other.expect_end()
            one.expect_end()


def test_something_else_than_a_start_first():
    "a client that starts with anything but its Start-Control-Connection-Request is put out, undialled"
    with World() as world:
        for octets in (build(ECHO_RQ), build(OCRQ, call_id=1), build(SCCRP), build(99, tail=b"x")):
            client = world.dial()
            client.send(octets)
            client.expect_end()
            world.wait_line(client, CLOSED)
        assert not world.server.dialled()


# ---- ends ----


def test_end_of_either_side_ends_both():
    "end of file from either side, after everything it sent, ends both sides and the calls"
    with World() as world:
        for first in ("client", "server"):
            session = world.session()
            call = session.call(5, 7)
            one, other = (session.client, session.server) if first == "client" else (session.server, session.client)
            last = [build(ECHO_RQ, identifier=i, tail=bytes(200)) for i in range(200)]
            one.send(b"".join(last))
            one.close()
            for octets in last:
                other.expect_octets(octets)
            other.expect_end(how="EOF")
            line = world.wait_line(session.client, f"{CALL_ENDED}.*{first} closed").string
            assert "client ID 5" in line
            world.wait_line(session.client, f"{CLOSED}.*{first} closed")
            call.up(b"too late")
            bystander = world.session()
            bystander.call(6, 8).check()
            bystander.close()


def test_half_close_delivers_the_answers():
    "after a half-close the other side's messages that were under way still arrive"
    with World() as world:
        for first in ("client", "server"):
            session = world.session()
            one, other = (session.client, session.server) if first == "client" else (session.server, session.client)
            other.send(build(ECHO_RQ, identifier=1))
            one.expect(ECHO_RQ, identifier=1)
            one.send(build(STOP_RQ))
            one.half_close()
            other.expect(STOP_RQ)
            other.expect_end(how="EOF")
            one.expect_end(how="EOF")
            world.wait_line(session.client, CLOSED)


def test_part_of_a_message_at_the_end_is_not_passed_on():
    "a message that its sender never finished is not passed on; its end of file is"
    with World() as world:
        session = world.session()
        session.client.send(build(ECHO_RQ) + build(OCRQ, call_id=1)[:100])
        session.client.half_close()
        session.server.expect(ECHO_RQ)
        session.server.expect_end(how="EOF")
        session.client.expect_end()
        early = world.dial()
        early.send(build(SCCRQ)[:100])
        early.half_close()
        early.expect_end()
        assert not world.server.dialled()


def test_reset_of_either_side_ends_both():
    "a reset by either side ends both sides and the calls, with one line, and nobody else's"
    with World() as world:
        bystander = world.session()
        kept = bystander.call(5, 7)
        for first in ("client", "server"):
            session = world.session()
            session.call(5, 7)
            one, other = (session.client, session.server) if first == "client" else (session.server, session.client)
            one.reset()
            other.expect_end()
            world.wait_line(session.client, CLOSED)
            assert len(world.lines(session.client, CLOSED)) == 1
            assert len(world.lines(session.client, CALL_ENDED)) == 1
            kept.check()
        bystander.check()


def test_what_a_leg_sent_before_it_failed_arrives():
    "a server that sends Call-Disconnect-Notify and resets: the client gets it, also while its own message waits"
    with World() as world:
        session = world.session()
        call = session.call(5, 7)
        worker = world.proxy.worker
        os.kill(worker, signal.SIGSTOP)
        try:
            session.client.send(build(ECHO_RQ))
            session.server.send(build(CDN, call_id=7))
            session.server.reset()
        finally:
            os.kill(worker, signal.SIGCONT)
        session.client.expect(CDN, call_id=call.client_sees)
        session.client.expect_end()


@tap.deadline(200)
def test_end_of_one_leg_while_the_other_does_not_read():
    "a client resets while its server does not read what it had sent: the call ends all the same, within a minute"
    with World(debug=False) as world:
        session = world.session()
        session.call(5, 7)
        tcp.fill(world.proxy, [(session.client, session.server)], build(ECHO_RQ))
        session.client.reset()
        world.log.wait(f"{CALL_ENDED}.*one end closed the connection, the other does not read", 60)


# ---- deadlines and servers that are not there ----


def test_server_that_refuses():
    "a server that refuses the connection: the client is closed at once, the log names the server"
    with World(pairs=["10.2.0.10:999"]) as world:
        client = world.dial()
        client.send(build(SCCRQ))
        client.expect_end()
        world.wait_line(client, rf"{CLOSED}.*refused")


def test_server_that_does_not_answer():
    "a server that does not answer: the client is closed after --connect-timeout"
    with World(["--connect-timeout", "1"]) as world:
        world.net.server.run(["ip", "route", "add", "blackhole", "10.2.0.1/32"])
        began = time.monotonic()
        client = world.dial()
        client.send(build(SCCRQ))
        client.expect_end()
        took = time.monotonic() - began
        assert took > 0.9, f"given up after {took:.2f} s"
        world.wait_line(client, CLOSED)
        world.net.server.run(["ip", "route", "del", "blackhole", "10.2.0.1/32"])
        world.session().check()


def test_client_that_leaves_while_its_server_is_dialled():
    "a client that leaves while its server is being dialled leaves nothing behind"
    with World(["--connect-timeout", "30"]) as world:
        world.net.server.run(["ip", "route", "add", "blackhole", "10.2.0.1/32"])
        client = world.dial()
        client.send(build(SCCRQ))
        number = world.number(client)
        client.close()
        world.log.wait(rf"#{number} .*(?:{CLOSED})")


def test_handshake_deadline():
    "silent clients, half a first message, and silent servers are put out by --handshake-timeout"
    with World(["--handshake-timeout", str(round(2 * tap.slowdown()))]) as world:
        up = world.session()
        silent, half, waiting = world.dial(), world.dial(), world.dial()
        half.send(build(SCCRQ)[:50])
        waiting.send(build(SCCRQ))
        server = world.server.accept()
        server.expect(SCCRQ)
        for client in (silent, half, waiting):
            client.expect_end()
            world.wait_line(client, CLOSED)
        server.expect_end()
        up.check()  # one that has shaken hands is left alone
        assert not world.server.dialled()


def _put_out(world, waited_for):
    """A client whose handshake gets no further is put out in time, whatever else has more patience."""
    client, began = world.dial(), time.monotonic()
    client.send(build(SCCRQ))
    client.expect_end()
    assert time.monotonic() - began > 0.9
    world.wait_line(client, f"{CLOSED}deadline: waited 1 s for {waited_for}")
    assert len(world.lines(client, CLOSED)) == 1


def test_handshake_deadline_while_a_command_hangs():
    "the handshake's deadline ends a command that has more patience, and its client"
    command = "/bin/sh -c 'exec sleep 1000'"  # the client's address becomes its $0
    with World([*HANDSHAKE, "-x", command, "--acl-timeout", "100"]) as world:
        _put_out(world, "the access command")
        wait_until(lambda: not watch.commands(world.proxy.pid), what="the command to be ended and reaped")
        assert not world.server.dialled()


def test_handshake_deadline_while_the_server_is_silent():
    "the handshake's deadline ends the dialling of a server that does not answer"
    with World([*HANDSHAKE, "--connect-timeout", "100"]) as world:
        world.net.server.run(["ip", "route", "add", "blackhole", "10.2.0.1/32"])
        before = watch.descriptors(world.proxy.worker)
        _put_out(world, "the server")
        wait_until(lambda: watch.descriptors(world.proxy.worker) == before, what="its descriptors to be closed")


def test_handshake_deadline_while_a_name_is_looked_up():
    "the handshake's deadline ends the wait for a silent name server"
    with World(HANDSHAKE, pairs=["vpn.example.test"], proxy=False) as world:
        dns = world.keep(Dns(world.net.firewall, {}))
        world.start(room=world.keep(Etc()))
        asked = len(dns.asked)
        dns.silent = True
        _put_out(world, "the server")
        assert len(dns.asked) > asked
        dns.names["vpn.example.test"] = ["10.2.0.10"]
        asked, dns.silent = len(dns.asked), False
        wait_until(lambda: len(dns.asked) > asked, what="one more try, whose answer nobody waits for")
        world.session().check()


def test_keepalive_of_both_legs():
    "both legs are probed after --keepalive seconds, by default 60, and given up after three times as long"
    for words, seconds in (([], 60), (["--keepalive", "7"], 7), (["--keepalive", "10800"], 10800)):
        with World(words) as world:
            session = world.session()
            for stream in (session.client, session.server):
                with tcp.borrow(world.proxy.worker, stream) as leg:
                    assert leg.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), stream.name
                    for option, expected in ((socket.TCP_KEEPIDLE, seconds), (socket.TCP_KEEPINTVL, seconds),
                                             (socket.TCP_USER_TIMEOUT, 3000 * seconds)):
                        value = leg.getsockopt(socket.IPPROTO_TCP, option)
                        assert value == expected, f"{stream.name}, option {option}: {value} instead of {expected}"


def test_vanished_peers_are_found():
    "a peer that vanishes without a word is given up after three times --keepalive, idle or with messages on their way to it"
    with World(["--keepalive", "1"], clients=3) as world:
        idle, busy, bystander = (world.session(client=i) for i in range(3))
        idle.call(5, 7)
        idle.client.send(build(ECHO_RQ))  # acknowledges all that came before: nothing is on its way to it
        idle.server.expect(ECHO_RQ)
        for ns in world.net.clients[:2]:
            ns.run(["ip", "link", "set", "eth0", "down"])
        began = time.monotonic()
        busy.server.send(build(ECHO_RQ))
        for session in (idle, busy):
            session.server.expect_end()
            world.wait_line(session.client, CLOSED)
        took = time.monotonic() - began
        assert 2.5 < took < 4 + 2 * tap.slowdown(), f"{took:.1f} s"
        world.wait_line(idle.client, CALL_ENDED)
        bystander.check()


def test_refusing_start_reply_passes():
    "a server's refusing Start-Control-Connection-Reply reaches the client, and so does its end"
    with World() as world:
        client = world.dial()
        client.send(build(SCCRQ))
        server = world.server.accept()
        server.expect(SCCRQ)
        server.send(build(SCCRP, result=2, error=4))
        server.close()
        client.expect(SCCRP, result=2, error=4)
        client.expect_end(how="EOF")
        assert not world.lines(client, CONNECTED)


def test_many_connections_keep_apart():
    "two hundred connections of several clients to several servers stay apart"
    with World(clients=2, servers=2) as world:
        sessions = [world.session(client=i % 2, server=i // 2 % 2) for i in range(200)]
        for i, session in enumerate(sessions):
            session.client.send(build(ECHO_RQ, identifier=i))
        for i, session in enumerate(sessions):
            session.server.expect(ECHO_RQ, identifier=i)
            session.server.send(build(ECHO_RP, identifier=i))
        for i, session in enumerate(sessions):
            session.client.expect(ECHO_RP, identifier=i)
        for session in sessions:
            session.client.close()
        for session in sessions:
            session.server.expect_end(how="EOF")
        wait_until(lambda: len(world.log.matching(CLOSED)) == 200, what="200 lines about closed connections")


if __name__ == "__main__":
    tap.main()
