#!/usr/bin/python3
"""Real calls through the proxy: Debian's pptp and pptpd, with PPP, pings and bulk traffic.

The networks are drawn in lab/topo.py, what stands at the ends in lab/real.py. The first case leaves
the proxy out: if it fails, the lab is at fault.
"""

import signal
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import tap
from lab.fake import World
from lab.messages import CCRQ, CDN, ECHO_RP, ECHO_RQ, OCRP, OCRQ, SCCRP, SCCRQ, SLI, STOP_RP, STOP_RQ, Message, build
from lab.netns import Room
from lab.proc import together, wait_until
from lab.proxy import CALL_ENDED, CALL_OPENED, CLOSED, DROPPED, REFUSED, Proxy
from lab.real import Call, Pptpd
from lab.topo import DualHomed, TwoFirewalls

MBIT = 1e6
EVERYONE = "255.255.255.255/0.0.0.0"


def exercise(call, pptpd):
    """Small and large pings, and a second of bulk traffic each way."""
    call.wait_up()
    pptpd.wait_up(call)
    call.ping(3)
    call.ping(3, size=1372)
    for reverse in (False, True):
        assert call.iperf(pptpd, 1, reverse) > 0.5 * MBIT


def wait_hung_up(pptpd):
    wait_until(lambda: not pptpd.children(), 15, "pptpd's side of the calls to end")


def test_lab_direct():
    "lab check, without the proxy: pptp calls pptpd through a router"
    with DualHomed(forward=True) as net, Pptpd(net.server) as pptpd, Call(net.client, net.server.ip) as call:
        exercise(call, pptpd)
        call.hang_up()
        wait_hung_up(pptpd)


def test_one_call():
    "one call through a dual-homed firewall: up, pings, traffic both ways, hung up"
    with DualHomed() as net, Pptpd(net.server) as pptpd, Proxy(net.firewall, ["-p", net.server.ip]) as proxy:
        with Call(net.client, net.inside) as call:
            exercise(call, pptpd)
            call.hang_up()
        proxy.log.wait(CALL_ENDED)
        wait_hung_up(pptpd)
        # Nothing of the first call is in the way of the next one.
        with Call(net.client, net.inside) as call:
            exercise(call, pptpd)
            call.hang_up()
        proxy.log.wait(CALL_ENDED, count=2)


def test_thirty_calls():
    "thirty calls at once behind one client address"
    with ExitStack() as stack:
        net = stack.enter_context(DualHomed())
        pptpd = stack.enter_context(Pptpd(net.server))
        proxy = stack.enter_context(Proxy(net.firewall, ["-p", net.server.ip]))
        calls = [stack.enter_context(Call(net.client, net.inside, name=f"call {i + 1}")) for i in range(30)]
        for call in calls:
            call.wait_up(60)
        # Each has addresses of its own, so an answer proves that no call got another one's packets.
        assert len({call.remote for call in calls}) == len(calls)
        together(*(lambda call=call: call.ping(3) for call in calls))
        together(*(lambda call=call: call.iperf(pptpd, 2) for call in calls[:4]))
        assert all(call.up() for call in calls)
        for call in calls[1:]:
            call.ppp.signal(signal.SIGTERM)
        for call in calls[1:]:
            call.wait_gone(60)
        calls[0].ping(3)
        calls[0].hang_up()
        proxy.log.wait(CALL_ENDED, 15, count=len(calls))
        wait_hung_up(pptpd)


@tap.deadline(180)
def test_a_minute_of_load():
    "a minute of bulk traffic, up, down and both, ends no call"
    with DualHomed() as net, Pptpd(net.server) as pptpd, Proxy(net.firewall, ["-p", net.server.ip]) as proxy:
        with Call(net.client, net.inside) as loaded, Call(net.client, net.inside, name="idle call") as idle:
            loaded.wait_up()
            idle.wait_up()
            rates = [loaded.iperf(pptpd, 20), loaded.iperf(pptpd, 20, reverse=True)]
            rates += both_ways(loaded, pptpd, 20)
            tap.comment("Mbit/s up, down, up with down, down with up: " + ", ".join(f"{r / MBIT:.1f}" for r in rates))
            assert min(rates) > 0.5 * MBIT
            assert not proxy.log.matching(CALL_ENDED)
            for call in (loaded, idle):
                call.ping(5)
                call.hang_up()


def both_ways(call, pptpd, seconds):
    return together(lambda: call.iperf(pptpd, seconds, words=("-p", "5301"), server_words=("-p", "5301")),
                    lambda: call.iperf(pptpd, seconds, reverse=True))


def flood(call, seconds):
    """Datagrams into the tunnel, as many as the device takes."""
    end = time.monotonic() + seconds
    with call.ns:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        while time.monotonic() < end:
            try:
                sock.sendto(bytes(1300), (call.remote, 9))
            except OSError:
                pass  # port unreachable, no buffers: the next one may do better


def answered(call):
    try:
        return call.ping(1, patience=3) >= 0
    except AssertionError:
        return False


def test_overload():
    "more traffic than the ends can take ends no call"
    with DualHomed() as net, Pptpd(net.server) as pptpd, Proxy(net.firewall, ["-p", net.server.ip]):
        with Call(net.client, net.inside) as call:
            call.wait_up()
            call.iperf(pptpd, 3, window=None)
            call.iperf(pptpd, 3, window=None, reverse=True)
            flood(call, 3)
            wait_until(lambda: answered(call), 20, "a ping to be answered after the flood")
            call.ping(3)
            call.hang_up()


def test_chain():
    "two firewalls in a chain on other ports, calls in both directions, traffic both ways"
    with ExitStack() as stack:
        net = stack.enter_context(TwoFirewalls())
        right = stack.enter_context(Pptpd(net.server))
        left = stack.enter_context(Pptpd(net.client, local="10.18.0.1-100", remote="10.19.0.1-100", name="left pptpd"))
        stack.enter_context(Proxy(net.fw1, ["-p", f"{net.fw1_inside}:1723,{net.fw2_outside}:1724",
                                            "-p", f"{net.fw1_outside}:1725,{net.client.ip}:1723"], name="proxy 1"))
        stack.enter_context(Proxy(net.fw2, ["-p", f"{net.fw2_outside}:1724,{net.server.ip}:1723",
                                            "-p", f"{net.fw2_inside}:1723,{net.fw1_outside}:1725"], name="proxy 2"))
        rightward = stack.enter_context(Call(net.client, net.fw1_inside, name="call to the right"))
        leftward = stack.enter_context(Call(net.server, net.fw2_inside, name="call to the left"))
        together(lambda: exercise(rightward, right), lambda: exercise(leftward, left))
        both_ways(rightward, right, 2)
        rightward.hang_up()
        leftward.ping(3)
        leftward.hang_up()
        wait_hung_up(right)
        wait_hung_up(left)


def test_narrow_chain():
    "packets that do not fit between two firewalls arrive in fragments"
    with ExitStack() as stack:
        net = stack.enter_context(TwoFirewalls())
        net.fw1.mtu("outside", 1300)
        net.fw2.mtu("outside", 1300)
        pptpd = stack.enter_context(Pptpd(net.server))
        stack.enter_context(Proxy(net.fw1, ["-p", net.fw2_outside], name="proxy 1"))
        stack.enter_context(Proxy(net.fw2, ["-p", net.server.ip], name="proxy 2"))
        call = stack.enter_context(Call(net.client, net.fw1_inside))
        exercise(call, pptpd)
        call.hang_up()


def chained_to_itself(middle):
    with DualHomed() as net, Pptpd(net.server) as pptpd:
        words = ["-p", f"{net.inside}:1723,{middle}", "-p", f"{middle},{net.server.ip}:1723"]
        with Proxy(net.firewall, words) as proxy, Call(net.client, net.inside) as call:
            exercise(call, pptpd)
            with Call(net.client, net.inside, name="second call") as second:
                exercise(second, pptpd)
                second.hang_up()
            call.ping(3)
            call.hang_up()
            proxy.log.wait(CALL_ENDED, count=4)
            wait_hung_up(pptpd)


def test_chained_to_itself():
    "one instance chained to itself at an address of its own"
    chained_to_itself(f"{DualHomed.outside}:1724")


def test_chained_to_itself_loopback():
    "one instance chained to itself over loopback"
    chained_to_itself("127.0.0.1:1724")


def test_scenario_1():
    "clients at home, a server outside; only the LAN may call"
    with ExitStack() as stack:
        net = stack.enter_context(DualHomed(clients=2, servers=2))
        pptpd = stack.enter_context(Pptpd(net.server))
        proxy = stack.enter_context(Proxy(net.firewall, ["-p", net.server.ip, "-a", "10.1.0.0/255.255.255.0"]))
        calls = [stack.enter_context(Call(client, net.inside, name=f"call of {client.name}")) for client in net.clients]
        stranger = stack.enter_context(Call(net.servers[1], net.outside, name="stranger's call"))
        together(*(lambda call=call: exercise(call, pptpd) for call in calls))
        stranger.wait_gone(30)
        assert proxy.log.matching(REFUSED)
        assert len(pptpd.ppp.matching("up device=")) == len(calls)
        for call in calls:
            call.hang_up()


def test_scenario_2():
    "a server behind the firewall, clients anywhere"
    with DualHomed() as net:
        inner, outer = net.client, net.server
        with Pptpd(inner) as pptpd, Proxy(net.firewall, ["-p", inner.ip, "-a", EVERYONE]):
            with Call(outer, net.outside) as call:
                exercise(call, pptpd)
                call.hang_up()


def test_scenario_3():
    "client and server each behind a firewall, a proxy on either side"
    with TwoFirewalls() as net, Pptpd(net.server) as pptpd:
        with Proxy(net.fw1, ["-p", net.fw2_outside, "-a", "10.1.0.0/255.255.255.0"], name="home proxy"), \
             Proxy(net.fw2, ["-p", net.server.ip, "-a", EVERYONE], name="office proxy"):
            with Call(net.client, net.fw1_inside) as call:
                exercise(call, pptpd)
                call.hang_up()


def test_server_killed():
    "the server dies: the client's call ends, and the proxy says so"
    with DualHomed() as net, Pptpd(net.server) as pptpd, Proxy(net.firewall, ["-p", net.server.ip]) as proxy:
        with Call(net.client, net.inside) as call:
            call.wait_up()
            pptpd.kill()
            call.wait_gone()
            proxy.log.wait(CALL_ENDED)
        with Pptpd(net.server, name="new pptpd") as pptpd, Call(net.client, net.inside) as call:
            exercise(call, pptpd)
            call.hang_up()


def test_client_killed():
    "the client dies: the server's call ends, and the proxy says so"
    with DualHomed() as net, Pptpd(net.server) as pptpd, Proxy(net.firewall, ["-p", net.server.ip]) as proxy:
        with Call(net.client, net.inside) as call, Call(net.client, net.inside, name="other call") as other:
            call.wait_up()
            other.wait_up()
            call.kill()
            proxy.log.wait(CALL_ENDED)
            wait_until(lambda: len(pptpd.ppp.matching("end reason=")) == 1, what="one call less at the server")
            other.ping(3)
            other.hang_up()
        wait_hung_up(pptpd)


def test_proxy_stopped():
    "the proxy is stopped: both ends of its calls are told and end; a new one takes new calls"
    with DualHomed() as net, Pptpd(net.server) as pptpd:
        with Proxy(net.firewall, ["-p", net.server.ip]) as proxy, Call(net.client, net.inside) as call:
            call.wait_up()
            pptpd.wait_up(call)
            proxy.stop()
            call.wait_gone()
            wait_hung_up(pptpd)
        with Proxy(net.firewall, ["-p", net.server.ip]), Call(net.client, net.inside) as call:
            exercise(call, pptpd)
            call.hang_up()


def test_two_calls_of_one_call_manager():
    "two calls of one pptp call manager, both on one connection: both pass and end, and the next call works"
    with ExitStack() as stack:
        net = stack.enter_context(DualHomed())
        pptpd = stack.enter_context(Pptpd(net.server))
        proxy = stack.enter_context(Proxy(net.firewall, ["-p", net.server.ip]))
        room = stack.enter_context(Room("call manager"))
        calls = []
        for name in ("first call", "second call"):
            calls.append(stack.enter_context(Call(net.client, net.inside, room=room, name=name)))
            # Each of them is answered. What pptpd then does to the first one is its own affair: it
            # has room for one call a connection, and takes the second in its place.
            room.syslog.wait("Outgoing call established", 20, count=len(calls))
            proxy.log.wait(CALL_OPENED, count=len(calls))
        for what in ("Outgoing-Call-Request from client", "Outgoing-Call-Reply from server"):
            assert len(proxy.log.matching(f"#1 .*: {what}")) == 2
        for call in calls:
            call.ppp.signal(signal.SIGTERM)
        for call in calls:
            call.wait_gone(30)
        proxy.log.wait(rf"#1 .*{CLOSED}", 15)
        opened, ended = ([line.split("client ID ")[1].split()[0].rstrip(",") for line in proxy.log.matching(f"#1 .*{what}")]
                         for what in (CALL_OPENED, CALL_ENDED))
        assert len(set(opened)) == 2 and sorted(ended) == sorted(opened), f"opened {opened}, ended {ended}"
        assert not proxy.log.matching("#2 "), "a second connection"
        wait_hung_up(pptpd)
        with Call(net.client, net.inside, name="third call") as call:
            exercise(call, pptpd)
            call.hang_up()


class OneMessageARead:
    """accel-ppp's way to read: what came is one message. Any more in it would be lost, a part misread."""

    def __init__(self, stream):
        self.stream = stream
        self.send = stream.send

    def expect(self, kind, **fields):
        self.stream.sock.settimeout(10 * tap.slowdown())
        octets = self.stream.sock.recv(65536)
        message = Message(octets)
        assert len(octets) == message.length, f"{len(octets)} octets at once, expected {message.length}"
        for field, value in {"type": kind, **fields}.items():
            assert getattr(message, field) == value, f"{message} instead of type {kind} with {fields}"
        return message


class NoUnaskedEcho:
    """npppd's way: an Echo-Reply that it did not ask for ends the connection."""

    def __init__(self, stream):
        self.stream = stream
        self.asked = []

    def send(self, octets):
        """In two segments: what the one end writes in parts the other must get in one."""
        message = Message(octets)
        if message.type == ECHO_RQ:
            self.asked.append(message.identifier)
        self.stream.send(octets[:11], octets[11:])

    def expect(self, kind, **fields):
        message = self.stream.receive()
        if message.type == ECHO_RP and message.identifier not in self.asked:
            self.stream.close()
            raise AssertionError(f"{message} to no request")
        if message.type == ECHO_RP:
            self.asked.remove(message.identifier)
        for field, value in {"type": kind, **fields}.items():
            assert getattr(message, field) == value, f"{message} instead of type {kind} with {fields}"
        return message


def echo(one, other, identifier):
    one.send(build(ECHO_RQ, identifier=identifier))
    other.expect(ECHO_RQ, identifier=identifier)
    other.send(build(ECHO_RP, identifier=identifier))
    one.expect(ECHO_RP, identifier=identifier)


def habits_of_others(notify_id):
    """One call. The IDs 5 and 7 are another call's already, so neither end is shown the other's own."""
    with World() as world:
        bystander = world.session().call(5, 7)
        stream = world.dial()
        client = NoUnaskedEcho(stream)
        client.send(build(SCCRQ))
        accepted = world.server.accept()
        server = OneMessageARead(accepted)
        server.expect(SCCRQ)
        server.send(build(SCCRP))
        client.expect(SCCRP)
        echo(client, server, 1)
        client.send(build(OCRQ, call_id=5))
        server_sees = server.expect(OCRQ).call_id
        assert server_sees != 5
        # The server is the first to say something, and does not wait for its Reply to be there.
        world.server.gre.send(accepted.remote[0], server_sees, b"from the server", 0)
        server.send(build(OCRP, call_id=7, peer_id=server_sees))
        client_sees = client.expect(OCRP, peer_id=5).call_id
        world.client.gre.expect(5, b"from the server", seq=0, source=stream.remote[0])
        world.client.gre.send(stream.remote[0], client_sees, b"from the client", 0, ack=0)
        world.server.gre.expect(7, b"from the client", seq=0, ack=0, source=accepted.remote[0])
        client.send(build(SLI, peer_id=client_sees))
        server.expect(SLI, peer_id=7)
        echo(server, client, 2)
        echo(client, server, 3)
        client.send(build(CCRQ, call_id=5))
        server.expect(CCRQ, call_id=server_sees)
        server.send(build(CDN, call_id=notify_id(server_sees)))
        client.expect(CDN, call_id=client_sees)
        client.send(build(STOP_RQ))
        server.expect(STOP_RQ)
        server.send(build(STOP_RP))
        client.expect(STOP_RP)
        stream.close()
        accepted.expect_end(how="EOF")
        accepted.close()
        for line in (CALL_OPENED, CALL_ENDED, CLOSED):
            world.wait_line(stream, line)
        assert not world.lines(stream, DROPPED)
        bystander.session.check()
        bystander.check()


def test_habits_of_others():
    "a client like npppd and a server like accel-ppp: a call, GRE both ways, echoes, Set-Link-Info, an orderly end"
    habits_of_others(lambda call_id: call_id)


def test_habits_of_others_swapped():
    "the same, the server's Call-Disconnect-Notify holding the client's ID with its octets swapped"
    habits_of_others(lambda call_id: call_id >> 8 | (call_id & 255) << 8)


if __name__ == "__main__":
    tap.main()
