#!/usr/bin/python3
"""GRE packets: what comes out of the firewall for what went in, on the wire and at the ends."""

import os
import sys
import time
from pathlib import Path
from signal import SIGCONT, SIGSTOP

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import messages, tap, watch
from lab.errors import LabTimeout
from lab.fake import Call, World
from lab.messages import ICRP, ICRQ, OCRP, OCRQ, build
from lab.proc import wait_until
from lab.proxy import CALL_ENDED, NO_GRE
from lab.sniff import Sniffer
from lab.tools import gre_send

GRE, ICMP, TCP = 47, 1, 6
UNREACHABLE = 3
HOLD = 1.0  # seconds that an early packet waits: GRE_HOLD_MS


def _collided(world):
    """A call whose IDs were both changed, as another call has them."""
    world.session().call(5, 7)
    call = world.session().call(5, 7)
    assert call.server_sees != 5 and call.client_sees != 7
    return call


# ---- one packet ----


def test_only_the_call_id_changes():
    "sequence, acknowledgement, payload, DSCP and ECN pass as they are, both ways; the call ID is the receiver's"
    with World() as world:
        call = _collided(world)
        cases = [
            dict(payload=b"x", seq=0),
            dict(payload=b"", seq=1, ack=0),
            dict(payload=bytes(range(256)) * 5, seq=0xFFFFFFFF, ack=0xFFFFFFFF),
            dict(payload=b"no numbers at all", seq=None),
            dict(payload=b"expedited", seq=7, tos=0xB8),
            dict(payload=b"ECN capable", seq=8, ack=1, tos=0x02),
            dict(payload=b"congestion", seq=9, tos=0x03),
            dict(payload=b"all bits", seq=10, tos=0xFF),
        ]
        for case in cases:
            expected = dict(case, ack=case.get("ack"), tos=case.get("tos", 0), ttl=64)
            call.up(**case)
            packet = call.expect_up(**expected, destination=world.server.ip)
            assert packet.octets == messages.gre(7, case["payload"], case["seq"], case.get("ack"))
            call.down(**case)
            packet = call.expect_down(**expected, destination=world.client.ip)
            assert packet.octets == messages.gre(5, case["payload"], case["seq"], case.get("ack"))


def test_acknowledgement_only_packets():
    "packets that only acknowledge pass both ways, of 12 octets and of length 0"
    with World() as world:
        call = _collided(world)
        call.up(b"", seq=None, ack=77)
        assert len(call.expect_up(b"", ack=77, seq=None).octets) == 12
        call.down(b"", seq=None, ack=0)
        assert len(call.expect_down(b"", ack=0, seq=None).octets) == 12


def test_time_to_live_is_fresh():
    "a packet that arrives with its last hop leaves with a fresh TTL"
    with World() as world:
        call = _collided(world)
        gre_send(world.net.client, "-s", world.client.ip, "-d", world.net.inside, "-c", call.client_sees, "-t", 1,
                 "-q", 3, "-l", 9, "-p", "last hop!")
        call.expect_up(b"last hop!", ttl=64, seq=3)


def test_trailing_octets_pass():
    "octets behind the payload that its length does not count are no reason to drop a packet"
    with World() as world:
        call = _collided(world)
        call.up(b"payload", trailing=b"behind")
        assert call.expect_up(b"payload").trailing == b"behind"
        call.down(b"payload", trailing=b"\0" * 30)
        assert call.expect_down(b"payload").trailing == b"\0" * 30


def test_packets_of_every_size():
    "payloads of 0 to 1,464 octets pass, which is all that fits into 1,500"
    with World() as world:
        call = _collided(world)
        for size in (*range(0, 40), 500, 1000, *range(1440, 1465)):
            payload = bytes([size & 0xFF]) * size
            call.up(payload, ack=1)
            call.expect_up(payload)
            call.down(payload, ack=1)
            call.expect_down(payload)


def test_a_stream_of_packets_loses_and_swaps_none():
    "five thousand packets each way arrive all and in order"
    with World(debug=False) as world:
        call = _collided(world)
        batch, payload = 50, b"p" * 300
        for at in range(0, 5000, batch):
            for seq in range(at, at + batch):
                call.up(payload, seq)
                call.down(payload, seq)
            for seq in range(at, at + batch):
                call.expect_up(payload, seq=seq)
                call.expect_down(payload, seq=seq)


# ---- fragments ----


def test_packets_above_the_mtu_leave_in_fragments():
    "what is larger than the way out leaves in fragments whatever its DF said, and arrives whole"
    with World() as world:
        world.net.firewall.mtu("outside", 1400)
        world.net.server.mtu("eth0", 1400)
        call = _collided(world)
        for df in (True, False):
            world.client.gre.df(df)
            payload = bytes(range(250)) * 5 + b"%d" % df + b"." * 200
            with Sniffer(world.net.server, "eth0") as wire:
                call.up(payload, ack=9)
                packet = call.expect_up(payload, ack=9)
                assert packet.total > 1400
                pieces = wire.matching(lambda p: p.protocol == GRE and not p.out)
                assert len(pieces) == 2, pieces
                assert all(p.total <= 1400 and not p.df for p in pieces)
                assert [p.mf for p in pieces] == [True, False]
                assert pieces[0].identification == pieces[1].identification


def test_packets_have_their_own_identifications():
    "fragments of several packets of one call are not mixed: each has an IP identification of its own"
    with World() as world:
        world.net.firewall.mtu("outside", 700)
        call = _collided(world)
        with Sniffer(world.net.server, "eth0") as wire:
            for i in range(20):
                call.up(bytes([i]) * 1400, seq=i)
            for i in range(20):
                call.expect_up(bytes([i]) * 1400, seq=i)
            first = wire.matching(lambda p: p.protocol == GRE and not p.out and not p.offset)
            assert len({p.identification for p in first}) == 20


def test_fragments_are_put_together():
    "a packet that comes in fragments is translated and passed on whole"
    with World() as world:
        call = _collided(world)
        for size, piece in ((1400, 512), (1400, 8), (30, 8), (9000, 1400)):
            gre_send(world.net.client, "-s", world.client.ip, "-d", world.net.inside, "-c", call.client_sees,
                     "-q", size, "-a", 2, "-l", size, "-f", piece)
            call.expect_up(b"\xa5" * size, seq=size, ack=2)
        call.check()


def test_very_large_packets():
    "packets of 60,000 octets pass in fragments both ways"
    with World() as world:
        call = _collided(world)
        payload = bytes(range(240)) * 250
        call.up(payload)
        call.expect_up(payload)
        call.down(payload)
        call.expect_down(payload)


# ---- what does not pass ----


def test_malformed_packets_are_dropped():
    "other versions, flags and protocols, and lengths that are not there, are dropped; the call goes on"
    with World() as world:
        call = _collided(world)
        s = call.session
        odd = [dict(flags=flag) for flag in (0x8000, 0x4000, 0x0800, 0x0100, 0x0700, 0x0078, 0x0040, 0x0002, 0x0006)]
        odd += [dict(clear=0x2000), dict(clear=0x0001), dict(flags=2, clear=1)]
        odd += [dict(protocol=p) for p in (0x0800, 0x880C, 0x0B88, 0x6558)]
        odd += [dict(length=4), dict(length=0xFFFF)]
        for case in odd:
            call.up(b"bad", **case)
            call.down(b"bad", **case)
        for good in (messages.gre(call.client_sees, b"", 1, 2), messages.gre(call.client_sees, b"p", 1)):
            for at in range(len(good)):
                s.client_host.gre.send_octets(s.client.remote[0], good[:at])
        call.check()
        call.session.check()


def test_plain_gre_never_wakes_the_proxy():
    "other tunnels' GRE is kept away by the socket's filter: only enhanced packets are counted as received"
    with World() as world:
        call = world.session().call(5, 7)
        for i in range(200):
            world.client.gre.send_octets(world.net.inside, b"\0\0\x08\0" + bytes(40))
        call.check()
        world.clients[0].streams[0].close()
        world.proxy.stop()
        world.log.wait(r"GRE packets: 2 received, 2 sent")


def test_strangers_packets_are_dropped():
    "a packet whose source is not the call's peer is dropped, though its call ID is right"
    with World(clients=2, servers=2) as world:
        call = world.session().call(5, 7)
        stranger, other = world.clients[1], world.servers[1]
        for who, to in ((stranger, world.net.inside), (other, world.net.outside), (other, world.net.inside),
                        (stranger, world.net.outside)):
            for call_id in (5, 7):
                who.gre.send(to, call_id, b"stranger", 1)
        call.check()
        # Each end under the other's name: the right IDs, but on the wrong side.
        world.server.gre.send(world.net.outside, call.client_sees, b"wrong side", 1)
        world.client.gre.send(world.net.inside, call.server_sees, b"wrong side", 1)
        call.check()


def test_packets_to_another_of_our_addresses_are_dropped():
    "a packet of the right peer with the right ID to an address that is not the call's is dropped"
    with World() as world:
        world.address(world.net.firewall, "inside", "10.1.0.2/24")
        call = world.session().call(5, 7)
        world.client.gre.send("10.1.0.2", call.client_sees, b"elsewhere", 1)
        world.client.gre.send(world.net.outside, call.client_sees, b"elsewhere", 1)
        world.server.gre.send(world.net.inside, call.server_sees, b"elsewhere", 1)
        call.check()


def test_unknown_call_ids_are_dropped():
    "packets of the right peers whose ID names no call are dropped"
    with World() as world:
        call = world.session().call(5, 7)
        for call_id in (0, 1, 6, 8, 0x0500, 0x0700, 0xFFFF):
            world.client.gre.send(world.net.inside, call_id, b"nobody's", 1)
            world.server.gre.send(world.net.outside, call_id, b"nobody's", 1)
        call.check()


# ---- addresses ----


def test_source_addresses_are_those_of_the_tcp_legs():
    "a firewall with several addresses sends GRE from those of the call's two TCP connections, whatever its routes say"
    with World(pairs=["10.2.0.10"]) as world:
        firewall = world.net.firewall
        for device, address in (("inside", "10.1.0.2/24"), ("inside", "10.1.0.3/24"), ("outside", "10.2.0.5/24")):
            world.address(firewall, device, address)
        firewall.run("ip route replace 10.2.0.0/24 dev outside src 10.2.0.5".split())
        session = world.session(to="10.1.0.3")
        call = session.call(5, 7)
        assert session.server.remote[0] == "10.2.0.5"
        call.check()
        firewall.run("ip route replace 10.2.0.0/24 dev outside src 10.2.0.1".split())
        firewall.run("ip route replace 10.1.0.0/24 dev inside src 10.1.0.2".split())
        call.up(b"after")
        call.expect_up(b"after", source="10.2.0.5")
        call.down(b"after")
        call.expect_down(b"after", source="10.1.0.3")
        other = world.session(to="10.1.0.2").call(5, 7)
        assert other.server_sees == 5, "the server sees another address of ours, so the ID was free"
        assert other.client_sees == 7
        other.check()
        call.check()


# ---- early packets ----


def _gre_has_been_looked_at(bystander):
    """All that the server has sent before: the proxy takes packets in order."""
    bystander.down(b"later")
    bystander.expect_down(b"later")


def _request(world, call_id=5):
    session = world.session()
    session.client.send(build(OCRQ, call_id=call_id))
    sees = session.server.expect(OCRQ).call_id
    return session, Call(session, call_id, 7, sees, None)


@tap.in_time(HOLD)
def test_early_packets_follow_the_reply(clock):
    "packets that the server sends before its Reply are held, up to 8, and follow right behind it, in order"
    with World() as world:
        bystander = world.session().call(50, 70)
        session, call = _request(world)
        with Sniffer(world.net.client, "eth0") as wire:
            clock.start()
            for i in range(10):
                call.down(b"early %d" % i, seq=i, ack=i, tos=0x88)
            _gre_has_been_looked_at(bystander)  # nothing else has come
            session.server.send(build(OCRP, call_id=7, peer_id=call.server_sees))
            call.client_sees = session.client.expect(OCRP, peer_id=5).call_id
            clock.stop()
            for i in range(8):
                call.expect_down(b"early %d" % i, seq=i, ack=i, tos=0x88)
            call.check()
            seen = [p for p in wire.all() if not p.out]
            reply = next(i for i, p in enumerate(seen) if p.protocol == TCP and len(p.data) == messages.LENGTH[OCRP])
            early = [i for i, p in enumerate(seen) if p.protocol == GRE and p.payload.startswith(b"early")]
            assert reply < early[0], "a packet overtook the Reply"
        call.clear()
        world.wait_line(session.client, rf"{CALL_ENDED}.*server sent \d+ packets, \d+ octets, 2 dropped")


@tap.in_time(HOLD)
def test_early_packets_of_an_incoming_call(clock):
    "the same for incoming calls: the client's packets before its Reply follow it to the server"
    with World() as world:
        bystander = world.session().call(50, 70)
        session = world.session()
        session.server.send(build(ICRQ, call_id=7))
        client_sees = session.client.expect(ICRQ).call_id
        call = Call(session, 5, 7, None, client_sees)
        clock.start()
        for i in range(8):
            call.up(b"early %d" % i, seq=i)
        bystander.up(b"later")
        bystander.expect_up(b"later")
        session.client.send(build(ICRP, call_id=5, peer_id=client_sees))
        call.server_sees = session.server.expect(ICRP).call_id
        clock.stop()
        for i in range(8):
            call.expect_up(b"early %d" % i, seq=i)
        call.check()


@tap.in_time(HOLD)
def test_early_packets_grow_stale(clock):
    "early packets that have waited for more than a second are dropped, and counted"
    with World() as world:
        bystander = world.session().call(50, 70)
        session, call = _request(world)
        for i in range(8):
            call.down(b"stale %d" % i, seq=i)
        _gre_has_been_looked_at(bystander)
        # The second itself is what is tried. They have come by now, and the proxy's clock is this one, but for what
        # it cuts off below a millisecond.
        stale_at = time.monotonic() + HOLD + 0.002
        wait_until(lambda: time.monotonic() >= stale_at, HOLD + 5, "the second to pass")
        clock.start()
        call.down(b"young", seq=8)  # there is room for it again
        _gre_has_been_looked_at(bystander)
        session.server.send(build(OCRP, call_id=7, peer_id=call.server_sees))
        call.client_sees = session.client.expect(OCRP).call_id
        clock.stop()
        call.expect_down(b"young", seq=8)
        call.check()
        call.clear()
        world.wait_line(session.client, rf"{CALL_ENDED}.*server sent \d+ packets, \d+ octets, 8 dropped")


def test_early_packets_of_a_refused_call_are_dropped():
    "packets that were held for a call that is refused reach nobody"
    with World() as world:
        bystander = world.session().call(50, 70)
        session, call = _request(world)
        call.down(b"early")
        _gre_has_been_looked_at(bystander)
        session.server.send(build(OCRP, call_id=7, peer_id=call.server_sees, result=2))
        session.client.expect(OCRP, result=2)
        again = session.call(5, 7)
        again.check()


@tap.in_time(HOLD)
def test_early_packets_of_one_call_leave_room_for_another(clock):
    "each call has its own room for early packets"
    with World() as world:
        bystander = world.session().call(50, 70)
        flooder, flood = _request(world, 5)
        session, call = _request(world, 6)
        for i in range(300):
            flood.down(b"flood %d" % i, seq=i)
        clock.start()
        for i in range(8):
            call.down(b"early %d" % i, seq=i)
        _gre_has_been_looked_at(bystander)
        session.server.send(build(OCRP, call_id=7, peer_id=call.server_sees))
        call.client_sees = session.client.expect(OCRP).call_id
        clock.stop()
        for i in range(8):
            call.expect_down(b"early %d" % i, seq=i)
        call.check()


def test_way_to_the_server_is_open_when_the_reply_arrives():
    "the client may send as soon as it has the Reply: no packet is lost, a hundred times in a row"
    with World() as world:
        session = world.session()
        for i in range(100):
            call = session.call(i, 1000 + i, settle=False)
            call.up(b"first %d" % i)
            call.expect_up(b"first %d" % i)


# ---- warnings ----


def test_silence_is_told_once():
    "no GRE from an end for 10 s is told once for each call and direction; IDs of an ended call still rest by then"
    with World() as world:
        ended = world.session().call(20, 30)
        ended.clear()
        silent = world.session()
        call = silent.call(5, 7)
        half, both = world.session().call(6, 8), world.session().call(9, 10)
        half.up()
        half.expect_up()
        both.check()
        world.log.wait("call opened", count=4)
        world.log.wait(NO_GRE, 20 * tap.slowdown(), count=3)
        last = world.session()  # the log goes on
        world.wait_line(last.client, "connected")
        told = world.log.matching("no GRE from")
        assert len(told) == 3, told
        number = world.number(silent.client)
        for side, address in (("client", "10.1.0.10"), ("server", "10.2.0.10")):
            lines = world.log.matching(rf"#{number} .*no GRE from {side} {address}".replace(".0", r"\.0"))
            assert len(lines) == 1 and "protocol 47" in lines[0], lines
        assert world.log.matching(rf"#{world.number(half.session.client)} .*no GRE from server")
        call.check()
        new = last.call(20, 30)
        assert new.server_sees != 20 and new.client_sees != 30


# ---- ICMP ----


def _unreachable(wire):
    return wire.matching(lambda p: p.out and p.protocol == ICMP and p.icmp[0] == UNREACHABLE)


def test_no_icmp_for_packets_of_nobody():
    "the firewall never answers GRE with ICMP unreachable: unknown calls, strangers, malformed and foreign packets"
    with World(clients=2) as world, Sniffer(world.net.firewall, "inside") as inside:
        call = world.session().call(5, 7)
        for i in range(50):
            world.clients[1].gre.send(world.net.inside, i, b"stranger", 1)
            world.client.gre.send(world.net.inside, 1000 + i, b"unknown", 1)
            world.client.gre.send_octets(world.net.inside, b"\0\0\x08\0" + bytes(i))
            world.client.gre.send_octets(world.net.inside, bytes(i % 8))
        call.check()
        assert not _unreachable(inside)


def test_no_icmp_under_a_flood():
    "not even when more GRE comes than the proxy reads: its socket's buffer is full, and the call survives"
    with World(clients=2, debug=False) as world, Sniffer(world.net.firewall, "inside") as inside:
        call = world.session().call(5, 7)
        worker = world.proxy.worker
        os.kill(worker, SIGSTOP)
        try:
            sent = gre_send(world.net.clients[0], "-s", world.client.ip, "-d", world.net.inside, "-c", call.client_sees,
                            "-q", 1, "-l", 1400, "-n", 12000, "-w", 10)
            assert sent > 10000, sent
            assert watch.raw_drops(world.net.firewall) > 0, "the buffer was not full"
        finally:
            os.kill(worker, SIGCONT)

        def arrives():
            """One that meets a full buffer does not."""
            call.up(b"after the flood")
            try:
                world.server.gre.until(b"after the flood", 0.5)
            except LabTimeout:
                return False
            return True

        wait_until(arrives, what="packets to arrive again")
        assert not _unreachable(inside)
        call.down()
        call.expect_down()


if __name__ == "__main__":
    tap.main()
