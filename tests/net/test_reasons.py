#!/usr/bin/python3
"""Why a packet, a message or a connection was not carried on: each reason brought about, named in the log, counted once.

What is counted is what the log tells at the end of the program; also over a worker's death and an upgrade.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, turmoil
from lab.fake import World
from lab.messages import CCRQ, OCRP, OCRQ, SCCRQ, build
from lab.proc import wait_until
from lab.proxy import CLOSED, DROPPED, REFUSED

KINDS = {"packets": "GRE packets dropped", "messages": "control messages dropped", "refused": "connections refused",
         "ended": "connections closed"}


def totals(world):
    """The counts by reason, once the program has been stopped; connections that are left are closed first."""
    world.hang_up()
    world.proxy.stop()
    return {kind: {line[2]: int(line[1]) for line in (re.search(rf"{words}: (\d+): (.*)$", line)
                                                       for line in world.log.matching(rf"^{words}: "))}
            for kind, words in KINDS.items()}


def head(world):
    """How many connections were accepted, calls opened and ended."""
    [line] = world.log.matching("^connections: ")
    return tuple(map(int, re.fullmatch(r"connections: (\d+) accepted; calls: (\d+) opened, (\d+) ended; "
                                       r"control messages: \d+ passed on", line).groups()))


def ended(world, stream, name):
    """The connection has, with this name, once."""
    world.wait_line(stream, rf"{CLOSED}{name}(?:$|[:; ])")
    assert len(world.lines(stream, CLOSED)) == 1


# ---- connections ----


def test_refused_by_rule_and_command():
    "acl and command: who is refused by which is named and counted; the command's answer follows"
    with World(["-a", "10.1.0.11", "-a", "10.1.0.12", "-x", "/bin/false", "-x", "/bin/sh -c 'exit 7'"], clients=3) as world:
        for client, reason in enumerate(("acl: no access rule allows it$", "command: /bin/false: exit status 1; .*exit status 7",
                                         "command: ")):
            stream = world.dial(client)
            stream.expect_end()
            world.wait_line(stream, f": refused: {reason}")
        assert totals(world) == {"packets": {}, "messages": {}, "refused": {"acl": 1, "command": 2}, "ended": {}}
        assert head(world) == (3, 0, 0)


def test_refused_by_limits():
    "limit and rate: by a source's connections, and by how fast they come"
    with World(["--max-per-source", "2", "--max-rate-per-source", "3"], clients=2) as world:
        sessions = [world.session(), world.session()]
        for _ in range(2):
            world.dial().expect_end()
        world.log.wait(": refused: limit: 2 connections of 10.1.0.10 already", count=2)
        for session in sessions:
            session.close()
        while not world.log.matching(": refused: rate: more than 3 new connections a second of 10.1.0.11"):
            world.dial(1).close()
        told = totals(world)["refused"]
        assert told["limit"] == len(world.log.matching(": refused: limit: "))
        assert told["rate"] == len(world.log.matching(": refused: rate: "))
        assert set(told) == {"limit", "rate"}


def test_connections_end():
    "client closed, server closed, malformed, deadline, no server, failed: each ends one connection, and no other"
    with World(["--handshake-timeout", "3"], clients=1, servers=2) as world:
        by_client, by_server, liar, server_lies, broken = (world.session() for _ in range(5))
        by_client.call(5, 7)
        by_client.client.close()
        by_server.server.close()
        liar.client.send(bytes(16))
        server_lies.server.send(b"\xff" * 16)
        broken.client.reset()
        early, first, silent = world.dial(), world.dial(), world.dial()
        early.close()
        first.send(build(CCRQ))
        world.servers[1].sock.close()
        nobody = world.dial(port=1724)
        nobody.send(build(SCCRQ))
        for stream, name in ((by_client.client, "client closed"), (by_server.client, "server closed"),
                             (liar.client, "malformed: message from client"), (server_lies.client, "malformed: message from server"),
                             (broken.client, "failed: client: Connection reset by peer"),
                             (early, "client closed: before its Start-Control-Connection-Request"),
                             (first, "malformed: client sent Call-Clear-Request before"),
                             (nobody, r"no server: 10\.2\.0\.11:1723: Connection refused"),
                             (silent, "deadline: waited 3 s for the client's Start-Control-Connection-Request")):
            ended(world, stream, name)
        assert totals(world) == {"packets": {}, "messages": {}, "refused": {},
                                 "ended": {"client closed": 2, "server closed": 1, "malformed": 3, "deadline": 1, "no server": 1,
                                           "failed": 1}}
        assert head(world) == (9, 1, 1)


def test_gives_way_and_shuts_down():
    "put out and shutting down: the half-open one that gives way, and who is there at the end"
    with World(["--max-connections", "2"], clients=2) as world:
        stays, waits = world.session(), world.dial()
        world.number(waits)
        other = world.session(client=1)
        ended(world, waits, "put out: for a newcomer: half open for")
        stays.check()
        other.check()
        streams = [stream for host in world.clients + world.servers for stream in host.streams]
        for host in world.clients + world.servers:
            host.streams = []
        told = totals(world)["ended"]
        for stream in streams:
            stream.close()
        assert told == {"put out": 1, "shutting down": 2}, told


# ---- messages ----


def test_dropped_messages():
    "mismatched ID, out of order, limit: dropped ones are named and counted, and the connection goes on"
    with World(["--max-calls", "1"]) as world:
        session = world.session()
        call = session.call(5, 7)
        session.client.send(build(CCRQ, call_id=99))
        session.server.send(build(OCRP, call_id=8, peer_id=call.server_sees))
        session.client.send(build(OCRQ, call_id=6))
        session.client.expect(OCRP, peer_id=6, result=2)
        session.check()
        for name, line in (("mismatched ID", "Call-Clear-Request from client"), ("out of order", "Outgoing-Call-Reply from server"),
                           ("limit", "Outgoing-Call-Request from client")):
            world.wait_line(session.client, f"{DROPPED}{line}: {name}: ")
        assert totals(world)["messages"] == {"mismatched ID": 1, "out of order": 1, "limit": 1}


# ---- packets ----


def test_dropped_packets():
    "truncated, no such call, wrong source, too early, send error: each packet is counted once, by one name"
    with World(clients=2) as world:
        session, inside = world.session(), world.net.inside
        call = session.call(5, 7)
        call.check()
        call.up(b"cut", length=400)
        for _ in range(2):
            world.client.gre.send(inside, 99, b"nobody's", 1)
        for _ in range(3):
            world.clients[1].gre.send(inside, call.client_sees, b"stranger's", 1)
        session.client.send(build(OCRQ, call_id=6))
        early = session.server.expect(OCRQ).call_id
        for i in range(8 + 4):  # of which eight are held, until the call ends
            world.server.gre.send(world.net.outside, early, b"early %d" % i, i)
        call.check()
        session.server.send(build(OCRP, call_id=8, peer_id=early, result=2))
        session.client.expect(OCRP)
        call.check()
        world.net.firewall.run(["ip", "route", "add", "blackhole", "10.2.0.10/32"])
        for _ in range(5):
            call.up(b"lost")
        call.down(b"behind them")  # comes out behind what went in before
        call.expect_down(b"behind them")
        world.net.firewall.run(["ip", "route", "del", "blackhole", "10.2.0.10/32"])
        call.check()
        world.log.wait("GRE packets dropped lately: [0-9]+ ")
        assert totals(world)["packets"] == {"truncated": 1, "no such call": 2, "wrong source": 3, "too early": 12, "send error": 5}


# ---- over processes ----


def test_counts_go_on():
    "what was counted by one worker is still there in the next one's totals, and in the next version's"
    with World(["-a", "10.1.0.10"], clients=2) as world:
        session = world.session()
        call = session.call(5, 7)

        def more():
            """One of each kind."""
            stranger = world.dial(1)
            stranger.expect_end()
            session.client.send(build(CCRQ, call_id=99))
            world.client.gre.send(world.net.inside, 99, b"nobody's", 1)
            other = world.session()
            other.close()
            ended(world, other.client, "client closed")
            call.check()
            session.check()

        more()
        world.log.wait(REFUSED)
        turmoil.kill(world.proxy).over()
        more()
        world.log.wait(REFUSED, count=2)
        turmoil.upgrade(world.proxy)
        more()
        told = totals(world)
        assert told == {"packets": {"no such call": 3}, "messages": {"mismatched ID": 3}, "refused": {"acl": 3},
                        "ended": {"client closed": 4}}, told
        assert head(world) == (7, 1, 1)


# ---- silence ----


def test_one_direction_dies():
    "GRE from one side is blocked while a call is up: told once, with the side and the reason to suspect; and when it is back"
    with World() as world:
        quiet = world.session().call(6, 8)
        quiet.check()
        call = world.session().call(5, 7)
        call.check()
        sent = [0]

        def silent():
            sent[0] += 1
            call.up(b"anybody?")
            return world.log.matching("no GRE from")

        wait_until(silent, 60, "the warning")
        [line] = world.log.matching("no GRE from")
        assert re.search(r"warning: #\d+ 10\.1\.0\.10 -> 10\.2\.0\.10: call of client ID 5, server ID 7: no GRE from server "
                         r"10\.2\.0\.10 for [34]\d s, while the client sends: is IP protocol 47 blocked on the way\?$", line), line
        call.down(b"here")
        world.log.wait(r"call of client ID 5, server ID 7: GRE from server 10\.2\.0\.10 comes again, after [34]\d s$", 15)
        assert len(world.log.matching("no GRE from")) == 1


if __name__ == "__main__":
    tap.main()
