#!/usr/bin/python3
"""Calls: which call IDs each end sees, in every message that carries one, and when a call ends."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap
from lab.fake import Call, World
from lab.messages import CCRQ, CDN, ECHO_RP, ECHO_RQ, ICCN, ICRP, ICRQ, OCRP, OCRQ, SLI, WEN, build
from lab.proxy import CALL_ENDED, DROPPED

GENERAL_ERROR = 2


# ---- IDs ----


def test_ids_are_kept_where_they_are_free():
    "call IDs pass as they are where nobody else has them, and GRE goes both ways"
    with World() as world:
        session = world.session()
        for client_id, server_id in ((5, 7), (0xFFFF, 1), (1, 0xFFFF), (0x1234, 0x3412)):
            call = session.call(client_id, server_id)
            assert (call.server_sees, call.client_sees) == (client_id, server_id)
            call.check()


def test_equal_ids_behind_the_same_client_address():
    "two connections of one client host with equal IDs: each end is shown distinct ones"
    with World() as world:
        one, two = world.session().call(5, 7), world.session().call(5, 7)
        assert (one.server_sees, one.client_sees) == (5, 7)
        assert two.server_sees != 5, "the server was shown one ID for two calls"
        assert two.client_sees != 7, "the client host was shown one ID for two calls"
        two.up(b"two")
        one.up(b"one")
        first, second = world.server.gre.receive(), world.server.gre.receive()
        assert (first.call_id, first.payload, second.call_id, second.payload) == (7, b"two", 7, b"one")
        two.down(b"two")
        one.down(b"one")
        first, second = world.client.gre.receive(), world.client.gre.receive()
        assert (first.call_id, first.payload, second.call_id, second.payload) == (5, b"two", 5, b"one")


def test_equal_ids_of_two_clients():
    "two clients with equal IDs: the server sees distinct ones, and each client gets its own packets"
    with World(clients=2) as world:
        one = world.session(client=0).call(5, 7)
        two = world.session(client=1).call(5, 8)
        assert one.server_sees == 5 and two.server_sees != 5
        assert (one.client_sees, two.client_sees) == (7, 8)
        one.check(b"first")
        two.check(b"second")
        two.clear()
        one.check(b"first again")


def test_equal_ids_of_two_servers():
    "two servers that assign equal IDs to one client's calls: the client sees distinct ones"
    with World(servers=2) as world:
        one = world.session(server=0).call(5, 7)
        two = world.session(server=1).call(6, 7)
        assert one.client_sees == 7 and two.client_sees != 7
        assert (one.server_sees, two.server_sees) == (5, 6)
        one.check(b"first")
        two.check(b"second")


def test_many_calls_with_equal_ids():
    "a hundred connections that all call with ID 0 get a hundred different ones at the server"
    with World(clients=2) as world:
        calls = [world.session(client=i % 2).call(0, i) for i in range(100)]
        shown = {call.server_sees for call in calls}
        assert len(shown) == 100
        for i, call in enumerate(calls):
            call.check(b"call %d" % i)


def test_id_zero():
    "call ID 0 is an ID like any other, on either side and on both"
    with World() as world:
        session = world.session()
        call = session.call(0, 0)
        assert (call.server_sees, call.client_sees) == (0, 0)
        call.check()
        session.client.send(build(SLI, peer_id=call.client_sees))
        session.server.expect(SLI, peer_id=0)
        call.clear()
        world.session().call(0, 9).check()


def test_equal_ids_on_both_sides():
    "client and server may choose the same ID, also crosswise in two calls"
    with World() as world:
        session = world.session()
        same = session.call(42, 42)
        crosswise = session.call(8, 9), session.call(9, 8)
        for call in (same, *crosswise):
            call.check(b"%d and %d" % (call.client_id, call.server_id))


def test_a_new_request_with_the_id_of_a_call_replaces_it():
    "a client ID that comes in a new Outgoing-Call-Request replaces the call that had it"
    with World() as world:
        session = world.session()
        old = session.call(5, 7)
        old.check()
        new = session.call(5, 8)
        assert new.server_sees != old.server_sees, "the server was shown the dead call's ID at once"
        new.check()
        world.wait_line(session.client, f"{CALL_ENDED}.*replaced")
        old.down(b"of the dead call")
        new.down(b"of the new one")
        new.expect_down(b"of the new one")
        again = session.call(5, 7)  # the server may reuse its own, too
        again.check()


def test_a_new_reply_with_the_id_of_a_call_replaces_it():
    "a server ID that comes in a new Outgoing-Call-Reply replaces the call that had it"
    with World() as world:
        session = world.session()
        session.call(5, 7)
        new = session.call(6, 7)
        new.check()
        world.wait_line(session.client, f"{CALL_ENDED}.*replaced")
        session.check()


def test_ids_rest_after_a_call():
    "an ID that a call had is not given to another call of the same two addresses at once"
    with World() as world:
        first = world.session()
        old = first.call(5, 7)
        old.clear()
        second = world.session()
        new = second.call(5, 7)
        assert new.server_sees != old.server_sees and new.client_sees != old.client_sees
        old.down(b"late")
        old.up(b"late")
        new.check()


# ---- every message that carries an ID ----


def _collided(world, session=None):
    """A session, none of whose calls 5/7 keeps its IDs, as another one has them."""
    world.session().call(5, 7)
    return session or world.session()


def test_each_message_of_a_call_is_translated():
    "Call-Clear-Request, Call-Disconnect-Notify, WAN-Error-Notify, Set-Link-Info carry the ID that their receiver knows"
    with World() as world:
        session = _collided(world)
        call = session.call(5, 7)
        assert call.server_sees != 5 and call.client_sees != 7
        both = ((session.client, session.server, call.client_sees, 7),
                (session.server, session.client, call.server_sees, 5))
        for sender, receiver, sent, received in both:
            for kind in (WEN, SLI):  # PACs were seen to send Set-Link-Info too
                sender.send(build(kind, peer_id=sent))
                receiver.expect_octets(build(kind, peer_id=received))
        session.client.send(build(CCRQ, call_id=5))
        session.server.expect_octets(build(CCRQ, call_id=call.server_sees))
        session.server.send(build(CDN, call_id=7, result=3))
        session.client.expect_octets(build(CDN, call_id=call.client_sees, result=3))
        session.check()


def test_echo_identifiers_are_left_alone():
    "echo messages pass with their identifiers, whatever calls there are"
    with World() as world:
        session = world.session()
        session.call(5, 7)
        for identifier in (0, 5, 7, 0x00050007, 0xFFFFFFFF):
            session.client.send(build(ECHO_RQ, identifier=identifier))
            session.server.expect_octets(build(ECHO_RQ, identifier=identifier))
            session.server.send(build(ECHO_RP, identifier=identifier))
            session.client.expect_octets(build(ECHO_RP, identifier=identifier))


def test_incoming_calls():
    "an incoming call: Incoming-Call-Request, -Reply and -Connected, GRE, and its end"
    with World() as world:
        world.session().incoming(5, 7)
        session = world.session()
        call = session.incoming(5, 7)
        assert call.client_sees != 7 and call.server_sees != 5
        call.check()
        session.client.send(build(CCRQ, call_id=5))
        session.server.expect(CCRQ, call_id=call.server_sees)
        session.server.send(build(CDN, call_id=7))
        session.client.expect(CDN, call_id=call.client_sees)
        world.wait_line(session.client, CALL_ENDED)
        session.check()


def test_incoming_call_from_the_client():
    "an incoming call that the client's side has, the server being the PNS"
    with World() as world:
        session = _collided(world)
        session.client.send(build(ICRQ, call_id=5))
        server_sees = session.server.expect(ICRQ).call_id
        assert server_sees != 5
        session.server.send(build(ICRP, call_id=7, peer_id=server_sees))
        client_sees = session.client.expect(ICRP, peer_id=5).call_id
        assert client_sees != 7
        session.client.send(build(ICCN, peer_id=client_sees))
        session.server.expect_octets(build(ICCN, peer_id=7))
        Call(session, 5, 7, server_sees, client_sees).check()


def test_outgoing_call_from_the_server():
    "an outgoing call that the server asks for, the client being the PAC"
    with World() as world:
        world.session().call_back(5, 7)
        session = world.session()
        call = session.call_back(5, 7)
        assert call.server_sees != 5 and call.client_sees != 7
        call.check()
        session.server.send(build(CCRQ, call_id=7))
        session.client.expect(CCRQ, call_id=call.client_sees)
        session.client.send(build(CDN, call_id=5))
        session.server.expect(CDN, call_id=call.server_sees)
        world.wait_line(session.client, CALL_ENDED)


def test_several_calls_on_one_connection():
    "several calls of every kind on one connection, each ended on its own"
    with World() as world:
        session = world.session()
        calls = [session.call(10, 20), session.incoming(11, 21), session.call_back(12, 22), session.call(13, 23)]
        for call in calls:
            call.check(b"%d" % call.client_id)
        calls[0].clear()
        calls[0].up(b"dead")
        calls[3].up(b"alive")
        calls[3].expect_up(b"alive")
        for call in calls[1:]:
            call.check(b"still %d" % call.client_id)
        world.log.wait(f"{CALL_ENDED}.*client ID 10, ")
        assert len(world.log.matching(CALL_ENDED)) == 1


# ---- IDs that name no call ----


def test_ids_that_name_no_call_are_dropped():
    "a message whose ID names no call of its connection never reaches the other end, and is told"
    with World(clients=2) as world:
        other = world.session(client=1).call(500, 700)
        session = world.session()
        session.call(5, 7)
        session.call(6, 8)
        stray = 0
        for sender in (session.client, session.server):
            for wrong in (500, 700, other.server_sees, 0, 0xFFFF):
                batch = [build(kind, peer_id=wrong) for kind in (SLI, WEN, ICCN)]
                batch += [build(kind, call_id=wrong) for kind in (CCRQ, CDN)]
                batch += [build(kind, call_id=9, peer_id=wrong) for kind in (OCRP, ICRP)]
                sender.send(b"".join(batch))
                stray += len(batch)
            session.check()
        other.session.check()
        other.check()
        for name in ("Set-Link-Info", "WAN-Error-Notify", "Incoming-Call-Connected", "Call-Clear-Request"):
            world.wait_line(session.client, f"{DROPPED}{name} from client: ")
        session.client.close()
        world.wait_line(session.client, f"closed.* {stray} messages dropped")


def test_reply_to_nobodys_request_is_dropped():
    "a Reply of the wrong kind, to a request of its own side, or a second one with another ID is dropped"
    with World() as world:
        session = world.session()
        session.client.send(build(OCRQ, call_id=5))
        session.server.expect(OCRQ)
        session.server.send(build(ICRP, call_id=7, peer_id=5))  # the other kind
        session.client.send(build(OCRP, call_id=7, peer_id=5))  # by the caller itself
        session.check()
        session.server.send(build(OCRP, call_id=7, peer_id=5))
        session.client.expect(OCRP, call_id=7)
        session.server.send(build(OCRP, call_id=8, peer_id=5))
        session.check()
        Call(session, 5, 7, 5, 7).check()


def test_refusing_reply_passes_with_its_own_id():
    "a refusing Reply passes with its own ID as it is, and the call is gone"
    with World() as world:
        session = _collided(world)
        for kind, request, sender, receiver in ((OCRP, OCRQ, session.server, session.client),
                                                (ICRP, ICRQ, session.client, session.server)):
            receiver.send(build(request, call_id=5))
            sees = sender.expect(request).call_id
            sender.send(build(kind, call_id=0xABCD, peer_id=sees, result=GENERAL_ERROR, error=4))
            receiver.expect_octets(build(kind, call_id=0xABCD, peer_id=5, result=GENERAL_ERROR, error=4))
            world.wait_line(session.client, "call ended.*refused: result 2")
            receiver.send(build(CCRQ, call_id=5))
            session.check()


def test_disconnect_notify_is_understood_with_any_id():
    "Call-Disconnect-Notify is understood by the PAC's ID, the PNS's, the PNS's byte-swapped, and as the only call"
    with World() as world:
        world.session().call(0x0102, 0x0304)
        for what in ("own", "peer's", "swapped", "only"):
            session = world.session()
            call = session.call(0x0102, 0x0304)
            if what != "only":
                bystander = session.call(0x0777, 0x0888)
            sees = call.server_sees
            sent = {"own": 0x0304, "peer's": sees, "swapped": (sees >> 8 | sees << 8) & 0xFFFF, "only": 0x5A5A}[what]
            session.server.send(build(CDN, call_id=sent))
            session.client.expect_octets(build(CDN, call_id=call.client_sees))
            world.wait_line(session.client, f"{CALL_ENDED}.*disconnected")
            if what != "only":
                bystander.check()
            session.close()


def test_disconnect_notify_of_a_call_that_never_opened():
    "Call-Disconnect-Notify instead of the Reply: the client hears a refusing Reply, as it could know no other ID"
    with World() as world:
        session = world.session()
        session.client.send(build(OCRQ, call_id=5))
        request = session.server.expect(OCRQ)
        session.server.send(build(CDN, call_id=request.call_id))
        session.client.expect(OCRP, peer_id=5, result=2)
        world.wait_line(session.client, "call ended before it opened.*disconnected")
        session.check()
        session.call(5, 7).check()


def test_disconnect_notify_said_twice():
    "Call-Disconnect-Notify said twice ends one call: the other one of the connection goes on"
    with World() as world:
        session = world.session()
        first, second = session.call(5, 7), session.call(6, 8)
        for _ in range(2):
            session.server.send(build(CDN, call_id=7))
        session.client.expect(CDN, call_id=first.client_sees)
        session.check()
        second.check()


# ---- the end of calls ----


def test_packets_of_an_ended_call_are_dropped():
    "after Call-Disconnect-Notify no packet of the call passes either way"
    with World() as world:
        session = world.session()
        dead, alive = session.call(5, 7), session.call(6, 8)
        dead.check()
        dead.clear()
        dead.up(b"dead")
        alive.up(b"alive")
        alive.expect_up(b"alive")
        dead.down(b"dead")
        alive.down(b"alive")
        alive.expect_down(b"alive")


def test_call_goes_on_between_clear_and_disconnect():
    "after Call-Clear-Request the call still passes packets until its peer confirms"
    with World() as world:
        session = world.session()
        call = session.call(5, 7)
        session.client.send(build(CCRQ, call_id=5))
        session.server.expect(CCRQ)
        call.check()


def test_call_end_line_counts_both_ways():
    "the line of a call's end has packets and octets each way, and the reason"
    with World() as world:
        session = world.session()
        call = session.call(5, 7)
        for i in range(3):
            call.up(b"x" * 100, seq=i)
            call.expect_up(b"x" * 100)
        call.down(b"y" * 10, seq=1, ack=3)
        call.expect_down(b"y" * 10)
        call.clear()
        line = world.wait_line(session.client, CALL_ENDED).string
        for text in ("client sent 3 packets, 396 octets, 0 dropped", "server sent 1 packets, 46 octets, 0 dropped",
                     "disconnected: result 1", " 0 s"):
            assert text in line, f"{text!r} is not in: {line}"


# ---- exhaustion ----


@tap.deadline(180)
def test_exhausted_ids_are_answered_with_a_refusal():
    "when all 65,536 IDs between two addresses are taken, a new call is refused, others go on, and a freed ID serves again"
    with World(clients=2, debug=False) as world:
        calls = 512  # of a connection: below --max-calls
        hogs = [world.session(client=0) for _ in range(0x10000 // calls)]
        everything = range(0x10000)
        chunk = 64
        for at in everything[::chunk]:
            hog = hogs[at // calls]
            hog.client.send(b"".join(build(OCRQ, call_id=i) for i in range(at, at + chunk)))
            for i in range(at, at + chunk):
                hog.server.expect(OCRQ, call_id=i)
        hogs[0].server.send(build(OCRP, call_id=7, peer_id=5))
        hogs[0].client.expect(OCRP, call_id=7, peer_id=5)
        call = Call(hogs[0], 5, 7, 5, 7)
        call.check()
        late = world.session(client=1)
        for _ in range(2):
            late.client.send(build(OCRQ, call_id=9))
            late.client.expect(OCRP, peer_id=9, result=GENERAL_ERROR)
        late.check()  # the server has heard nothing
        world.wait_line(late.client, "refused")
        call.check()
        hogs[1234 // calls].server.send(build(OCRP, call_id=0, peer_id=1234, result=GENERAL_ERROR))
        hogs[1234 // calls].client.expect(OCRP, peer_id=1234)
        new = late.call(9, 10)
        assert new.server_sees == 1234, "the only ID that was free"
        new.check()


if __name__ == "__main__":
    tap.main()
