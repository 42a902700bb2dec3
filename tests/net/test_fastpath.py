#!/usr/bin/python3
"""The fast path between real namespaces: what it carries, what it leaves alone, and what happens when routes,
neighbours and interfaces change under a call.

What the fast path carries is not seen by the firewall's own packet sockets, so Sniffers there show which way a
packet went. veth takes frames from native XDP only if its other end has GRO (or XDP) on.
"""

import itertools
import os
import re
import signal
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import golden, tap, turmoil
from lab.errors import LabTimeout, Skip
from lab.fake import PATIENCE, World
from lab.netns import RUN_PREFIX, ip, need
from lab.proc import wait_until
from lab.proxy import CALL_ENDED, NO_GRE, ROOT, START, Proxy, program
from lab.real import Call, Pptpd
from lab.shark import Capture
from lab.sniff import Sniffer
from lab.topo import DualHomed

GRE = 47
GAP, HOLD = 0.001, 0.1  # FASTPATH_GAP_NS, FASTPATH_HOLD_NS
XDP_PASS_OBJECT = ROOT / "build/tests/xdp_pass.bpf.o"
ON_BOTH = r"fast path: {} XDP on inside, outside"
_kernel_lacks = None


def in_modes(*modes):
    """Decorator: one case for each mode; the function gets it as its argument."""

    def make(function):
        for mode in modes:
            def case(mode=mode):
                need_xdp()
                function(mode)

            case.__doc__ = f"{mode}: {function.__doc__}"
            case.__name__ = f"test_{function.__name__}_{mode}"
            case.deadline = getattr(function, "deadline", tap.DEADLINE)
            globals()[case.__name__] = case
        return function

    return make


both_modes = in_modes("native", "generic")


# ---- XDP as the host has it ----


def occupy(ns, device):
    """Attach somebody else's XDP program."""
    ip("-n", ns.name, "link", "set", "dev", device, "xdpgeneric", "obj", XDP_PASS_OBJECT, "sec", "xdp")


def attached(ns, device):
    """The XDP program's number there, or None."""
    found = re.search(r"prog/xdp id (\d+)", ip("-n", ns.name, "-d", "link", "show", "dev", device))
    return found and int(found[1])


def need_xdp():
    """Skip where the kernel or our rights lack XDP; found out without the program under test."""
    global _kernel_lacks
    need("ip", "ethtool")
    if tuple(map(int, re.match(r"(\d+)\.(\d+)", os.uname().release).groups())) < (5, 18):
        raise Skip("needs a kernel from 5.18 on")
    if not XDP_PASS_OBJECT.exists():
        raise Skip(f"{XDP_PASS_OBJECT.name} is not built: built without the fast path")
    if _kernel_lacks is None:
        with DualHomed() as net:
            try:
                occupy(net.firewall, "inside")
                _kernel_lacks = ""
            except RuntimeError as error:
                _kernel_lacks = f"no XDP here: {error}"
    if _kernel_lacks:
        raise Skip(_kernel_lacks)


def gro(ns, device="eth0"):
    """Let the other end of this veth take frames from native XDP."""
    ns.run(["ethtool", "-K", device, "gro", "on"])


def gro_at_the_ends(world):
    for ns in (*world.net.clients, *world.net.servers):
        gro(ns)


def fast_world(mode, words=(), prepare=None, **options):
    def prepare_all(world):
        gro_at_the_ends(world)
        if prepare:
            prepare(world)

    return World(["--fastpath", mode, *words], prepare=prepare_all, **options)


# ---- which way a packet goes ----


class Taps:
    """The firewall's own view of its devices."""

    def __init__(self, world, *devices):
        self.taps = [world.keep(Sniffer(world.net.firewall, device)) for device in devices or ("inside", "outside")]

    def count(self):
        """GRE packets so far that the host has seen, coming in or going out."""
        return sum(len(tap_.matching(lambda packet: packet.protocol == GRE)) for tap_ in self.taps)


def carried(taps, call, check):
    """Call check(); True if the host saw nothing of the packets."""
    before = taps.count()
    check()
    return taps.count() == before


def check_up(call, payload=b"probe"):
    call.up(payload)
    call.expect_up(payload)


def check_down(call, payload=b"probe"):
    call.down(payload)
    call.expect_down(payload)


def wait_carried(taps, call, *checks):
    """Until each of these is carried by the fast path."""
    for check in checks or (check_up, check_down):
        wait_until(lambda: carried(taps, call, lambda: check(call)), PATIENCE, f"the fast path to carry {check.__name__}")


def call_carried(world, taps, *checks):
    """A call whose IDs are both changed, and which the fast path carries."""
    world.session().call(5, 7)
    call = world.session().call(5, 7)
    assert call.server_sees != 5 and call.client_sees != 7
    wait_carried(taps, call, *checks)
    return call


def end_of(world, call):
    """Hang up; packets and octets that the end line tells, of the client and the server."""
    call.clear()
    line = world.wait_line(call.session.client, rf"{CALL_ENDED}.*client sent (\d+) packets, (\d+) octets.*"
                           r"server sent (\d+) packets, (\d+) octets")
    return [int(line[i]) for i in range(1, 5)]


def total_carried(world):
    """What the log says at the end."""
    world.hang_up()
    world.proxy.stop()
    return int(world.log.wait(r"GRE packets carried by the fast path: (\d+)")[1])


# ---- the golden table ----


class End:
    """Frames at an end's device, as they are."""

    def __init__(self, ns):
        with ns:
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(3))
            self.sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            self.sock.bind(("eth0", 3))

    def until(self, marker):
        """The GRE frames that have come in before the one with this text; without it."""
        self.sock.settimeout(PATIENCE)
        frames = []
        while True:
            frame, address = self.sock.recvfrom(65536)
            if address[2] == 4 or frame[12:14] != b"\x08\x00" or frame[23] != GRE:  # PACKET_OUTGOING
                continue
            if marker in frame:
                return frames
            frames.append(frame)

    def close(self):
        self.sock.close()


class GoldenWorld:
    """The network that the table draws, with its call."""

    def __init__(self, world):
        self.world, self.marks = world, 0
        world.session().call(golden.CLIENT_ID, golden.SERVER_ID)
        self.call = world.session().call(golden.CLIENT_ID, golden.SERVER_ID)
        assert self.call.client_sees != golden.SERVER_ID and self.call.server_sees != golden.CLIENT_ID
        self.rows = golden.rows({"f1f2": self.call.client_sees, "e1e2": self.call.server_sees})
        self.ends = {"client": world.keep(End(world.net.client)), "server": world.keep(End(world.net.server))}
        self.taps = Taps(world)
        by_title = {row.title: row for row in self.rows}
        self.markers = [by_title["with IP options"], by_title["from the server, with IP options"]]

    @staticmethod
    def prepare(world):
        net = world.net
        for ns, device, name in ((net.client, "eth0", "client"), (net.firewall, "inside", "inside"),
                                 (net.firewall, "outside", "outside"), (net.server, "eth0", "server")):
            ip("-n", ns.name, "link", "set", "dev", device, "address", golden.MACS[name])
        # By the route alone: veth takes nothing that is larger than its other end's MTU.
        net.firewall.run(f"ip route replace 10.2.0.0/24 dev outside src 10.2.0.1 mtu {golden.MTU_OUTSIDE}".split())

    def mark(self):
        """Packets that go the raw way whatever the mode, behind all that went there before."""
        self.marks += 1
        text = b"mark%03d" % (self.marks % 1000)
        for row in self.markers:
            self.ends[row.side].sock.send(row.ins[0].replace(b"payload", text))
        return text

    def run(self, row):
        """What leaves for the row, by end; and whether the host saw what came in."""
        before = self.taps.count()
        for frame in row.ins:
            self.ends[row.side].sock.send(frame)
        text = self.mark()
        left = {name: end.until(text) for name, end in self.ends.items()}
        return left, self.taps.count() - before - 2 * len(self.markers)

    def expect(self, row):
        left, seen = self.run(row)
        got = {name: [golden.comparable(frame) for frame in frames] for name, frames in left.items()}
        expected = {"client": [], "server": []}
        for frame in row.outs:
            expected[golden.end_of(frame)].append(golden.comparable(frame))
        assert got == expected, f"{row.title}: expected {expected}, got {got}"
        return seen


def _golden(mode):
    world = World(["--fastpath", mode], prepare=lambda world: (gro_at_the_ends(world), GoldenWorld.prepare(world)))
    with world:
        table = GoldenWorld(world)
        for row in table.rows:
            seen = table.expect(row)
            if row.verdict == "raw":
                assert seen > 0, f"{row.title}: it was to go the raw way"
            elif row.verdict == "fast" and mode == "off":
                assert seen == 2, f"{row.title}: {seen} packets seen"
            elif row.verdict == "fast" and seen:
                wait_until(lambda row=row: table.expect(row) == 0, PATIENCE, f"the fast path to carry: {row.title}")


def test_golden_raw():
    "each row of the golden table leaves as it says by the raw way"
    need("ethtool")
    _golden("off")


@both_modes
def golden_table(mode):
    "each row of the golden table leaves as it says, octet for octet as by the raw way"
    _golden(mode)


# ---- carried ----


@both_modes
def packets_are_carried(mode):
    "packets of an established call pass by the host both ways, and are counted with those that did not"
    with fast_world(mode) as world:
        world.log.wait(ON_BOTH.format(mode))
        taps = Taps(world)
        call = world.session().call(5, 7)
        sent = 0

        def one(check):
            nonlocal sent
            sent += 1
            check(call)

        for check in (check_up, check_down):
            wait_until(lambda: carried(taps, call, lambda: one(check)), PATIENCE, "the fast path")
        # No sniffer sees them, and no probes are in between.
        before = taps.count()
        for i in range(200):
            call.up(b"u" * 100, seq=i, ack=i)
            call.down(b"d" * 50, seq=i)
            call.expect_up(b"u" * 100, seq=i, ack=i, ttl=64)
            call.expect_down(b"d" * 50, seq=i, ttl=64)
        assert taps.count() == before
        up, up_octets, down, down_octets = end_of(world, call)
        assert up + down == 400 + sent
        assert up_octets + down_octets == 200 * (20 + 16 + 100) + 200 * (20 + 12 + 50) + sent * (20 + 12 + 5)
        assert 402 <= total_carried(world) <= 400 + sent


@both_modes
def calls_of_all_sorts(mode):
    "outgoing calls of either end and incoming calls are carried, a hundred at once, and end for good"
    with fast_world(mode) as world:
        taps = Taps(world)
        session = world.session()
        calls = [session.call(i, 1000 + i) for i in range(100)]
        calls += [world.session().call_back(5, 7), world.session().incoming(6, 8)]
        for call in calls:
            wait_carried(taps, call)
        gone = calls[0]
        gone.clear()
        gone.up(b"late")
        gone.down(b"late")
        for call in calls[1:]:
            assert carried(taps, call, call.check)


@both_modes
def dump_is_whole(mode):
    "with -e calls stay on the raw way, so that the dump has every packet"
    with fast_world(mode, ["-e"]) as world:
        world.log.wait("no fast path: with -e")
        assert not attached(world.net.firewall, "inside")
        call = world.session().call(5, 7)
        for i in range(50):
            call.check(b"dumped %d" % i)
        world.log.wait(r"GRE in, ", count=100)
        world.log.wait(r"GRE out, ", count=100)


@both_modes
def silence_is_not_told_of_carried_calls(mode):
    "no warning about silence where all packets went the fast way; a silent call has one"
    with fast_world(mode) as world:
        taps = Taps(world)
        call, silent = world.session().call(5, 7), world.session().call(6, 8)
        other = world.session().call(9, 10)
        wait_carried(taps, other)  # so the first one's ways have settled, too
        assert carried(taps, call, call.check), "it was not all carried by the fast path"
        number = world.number(silent.session.client)
        for side in ("client", "server"):
            world.log.wait(rf"#{number} .*no GRE from {side}", 20 * tap.slowdown())
        world.log.wait(NO_GRE, count=2)
        world.session()
        assert len(world.log.matching("no GRE from")) == 2


@both_modes
def captured_calls_leave(mode):
    "a capture takes calls off the fast path at once, misses no packet of theirs, and gives them back; no packet goes uncounted"
    with tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as place:
        conf, file = Path(place) / "conf", Path(place) / "x.pcap"
        os.chmod(place, 0o755)
        conf.write_text("max-calls 99\n")
        with fast_world(mode, ["-c", str(conf)]) as world:
            taps, sent = Taps(world), [0, 0]

            def one(side, check, call):
                sent[side] += 1
                check(call, b"probe %d" % sent[side])

            def both(call):
                one(0, check_up, call)
                one(1, check_down, call)

            def wait_both_carried(call):
                for side, check in enumerate((check_up, check_down)):
                    wait_until(lambda: carried(taps, call, lambda: one(side, check, call)), PATIENCE, "the fast path")

            call = world.session().call(5, 7)
            wait_both_carried(call)
            conf.write_text(f"max-calls 99\ncapture {file}\n")
            turmoil.reload(world.proxy)
            world.log.wait("warning: capture .*: all calls stay off the fast path meanwhile")
            for _ in range(50):
                assert not carried(taps, call, lambda: both(call))
            late = world.session().call(6, 8)
            for _ in range(3):
                assert not carried(taps, late, late.check)
            conf.write_text("max-calls 99\n")
            turmoil.reload(world.proxy)
            world.log.wait("capture .*: ends: ")
            wait_carried(taps, late)
            wait_both_carried(call)
            packets = Capture(file).packets()
            for call_id in (call.client_sees, call.server_id, call.server_sees, call.client_id):
                assert sum(packet.call_id == call_id for packet in packets) >= 50, packets
            up, _, down, _ = end_of(world, call)
            assert [up, down] == sent, (up, down, sent)


# ---- which mode, which interfaces ----


def _end_of_start(net, words, bounding=()):
    """The lines of a program that is expected to end with status 1 at its start."""
    if bounding:
        argv = ["setpriv", f"--bounding-set={','.join(bounding)}"]
        proc = net.firewall.popen([*argv, program(), "-n", "-p", net.server.ip, *words], name="pptpproxy")
        assert proc.wait(15) == 1, proc.text()
        return proc.text()
    proxy = Proxy(net.firewall, ["-p", net.server.ip, *words], ready=False)
    assert proxy.wait(15) == 1, proxy.log.tail()
    return proxy.log.text()


def test_auto_takes_native():
    "auto: native where the interfaces can"
    need_xdp()
    with fast_world("auto") as world:
        assert world.log.matching(ON_BOTH.format("native"))
        assert len(world.log.matching("fast path")) == 1, world.log.text()
        call_carried(world, Taps(world))


def test_auto_falls_back_to_generic():
    "auto: generic where one of them takes no frames from native XDP, with a line for each"
    need_xdp()
    with World(["--fastpath", "auto"], prepare=lambda world: gro(world.net.client)) as world:
        told = world.log.matching("fast path")
        assert len(told) == 2, told
        assert "not native, as outside cannot: it takes no frames from native XDP" in told[0]
        assert re.search(ON_BOTH.format("generic"), told[1])
        call_carried(world, Taps(world))


WITHOUT_BPF = ("-bpf", "-sys_admin")


def test_auto_goes_on_without():
    "auto: without rights one warning says so, and calls go the raw way"
    need_xdp()
    with World(proxy=False) as world:
        argv = ["setpriv", f"--bounding-set={','.join(WITHOUT_BPF)}", program(), "-n", "--fastpath", "auto", "-p",
                world.server.ip]
        proc = world.net.firewall.popen(argv, name="pptpproxy")
        world.log = proc.log
        proc.wait_line("ready: ", START)
        told = proc.lines("fast path")
        assert len(told) == 1 and "warning: no fast path: it needs root, or CAP_BPF and CAP_NET_ADMIN" in told[0], told
        world.session().call(5, 7).check()
        assert not attached(world.net.firewall, "inside")
        world.hang_up()
        assert proc.stop() == 0


def test_bpf_and_net_admin_suffice():
    "CAP_BPF and CAP_NET_ADMIN are enough rights, beside those to become another user"
    need_xdp()
    with World(proxy=False, prepare=gro_at_the_ends) as world:
        keep = "-all,+bpf,+net_admin,+net_raw,+net_bind_service,+setuid,+setgid"
        argv = ["setpriv", f"--bounding-set={keep}", program(), "-n", "--fastpath", "native", "-p", world.server.ip]
        proc = world.net.firewall.popen(argv, name="pptpproxy")
        world.log = proc.log
        proc.wait_line("ready: ", START)
        proc.wait_line(ON_BOTH.format("native"))
        call_carried(world, Taps(world))
        world.hang_up()
        assert proc.stop() == 0


def test_impossible_modes_are_fatal():
    "native and generic: status 1 and the reason where they cannot be had; auto too with an interface named"
    need_xdp()
    with DualHomed() as net:
        for words in (["--fastpath", "native"], ["--fastpath", "generic"],
                      ["--fastpath", "auto", "--fastpath-interface", "inside"]):
            said = _end_of_start(net, words, WITHOUT_BPF)
            assert "fast path: it needs root, or CAP_BPF and CAP_NET_ADMIN" in said, said
        net.firewall.run("ip link add plain type bridge".split())
        said = _end_of_start(net, ["--fastpath", "native", "--fastpath-interface", "plain"])
        assert "fast path: plain: its driver has no native XDP" in said, said
        # Nowhere to attach to: all pairs on the loopback.
        proxy = Proxy(net.firewall, "--fastpath generic -p 127.0.0.2:1723,127.0.0.1", ready=False)
        assert proxy.wait(15) == 1 and "no interface that calls would use" in proxy.log.text(), proxy.log.text()
        assert not attached(net.firewall, "inside") and not attached(net.firewall, "outside")


def test_named_interfaces():
    "--fastpath-interface: there and nowhere else, and repeatable; one that cannot is fatal"
    need_xdp()
    with fast_world("generic", ["--fastpath-interface", "inside"]) as world:
        assert world.log.matching(r"fast path: generic XDP on inside$")
        assert attached(world.net.firewall, "inside") and not attached(world.net.firewall, "outside")
        world.session().call(5, 7).check()
    with fast_world("native", ["--fastpath-interface", "outside", "--fastpath-interface", "inside"]) as world:
        assert world.log.matching(r"fast path: native XDP on outside, inside$")
        call_carried(world, Taps(world))
    inside = ["--fastpath-interface", "inside"]
    with DualHomed() as net:
        for mode in ("auto", "native", "generic"):
            words = ["--fastpath", mode]
            for more in ([], inside):
                said = _end_of_start(net, [*words, *more, "--fastpath-interface", "nowhere"])
                assert "--fastpath-interface nowhere: No such device" in said, said
                said = _end_of_start(net, [*words, *more, "--fastpath-interface", "lo"])
                assert "--fastpath-interface lo: not for the loopback" in said, said
        occupy(net.firewall, "outside")
        there = attached(net.firewall, "outside")
        for mode in ("auto", "native", "generic"):
            said = _end_of_start(net, ["--fastpath", mode, *inside, "--fastpath-interface", "outside"])
            assert "outside: an XDP program is there already, and left alone" in said, said
        assert attached(net.firewall, "outside") == there and not attached(net.firewall, "inside")


def test_native_without_a_way_out_is_fatal():
    "native: status 1 where all interfaces attach but none takes frames from native XDP; with GRO at one end it starts"
    need_xdp()
    with DualHomed() as net:
        for words in ([], ["--fastpath-interface", "outside"]):
            said = _end_of_start(net, ["--fastpath", "native", *words])
            assert re.search(r"fast path: (inside|outside): it takes no frames from native XDP, nor does another$", said, re.M), said
            assert not attached(net.firewall, "inside") and not attached(net.firewall, "outside")
        gro(net.server)
        with Proxy(net.firewall, ["-p", net.server.ip, "--fastpath", "native"]) as proxy:
            assert proxy.log.matching("fast path: inside takes no frames from native XDP"), proxy.log.text()
            assert proxy.log.matching(ON_BOTH.format("native")), proxy.log.text()


def test_interface_without_fastpath_is_fatal():
    "--fastpath-interface without --fastpath: status 1 and the reason"
    need("ip")
    if "--fastpath" in os.environ.get("PPTPPROXY_TEST_WORDS", ""):
        raise tap.Skip("--fastpath comes from the environment")
    with DualHomed() as net:
        said = _end_of_start(net, ["--fastpath-interface", "inside"])
        assert "--fastpath-interface inside: it needs --fastpath auto, native or generic" in said, said


@in_modes("auto", "native", "generic")
def others_programs_are_left_alone(mode):
    "an XDP program that is there already stays, which is said; calls through it go the raw way"
    with fast_world(mode, prepare=lambda world: occupy(world.net.firewall, "inside")) as world:
        there = attached(world.net.firewall, "inside")
        world.log.wait("fast path: inside: an XDP program is there already, and left alone; its packets stay on the raw")
        world.log.wait(rf"fast path: {'native' if mode == 'auto' else mode} XDP on outside$")
        taps = Taps(world)
        call = world.session().call(5, 7)
        for i in range(20):
            call.check(b"%d" % i)
        assert taps.count() == 80
        assert attached(world.net.firewall, "inside") == there
        firewall = world.net.firewall
        total_carried(world)
        assert attached(firewall, "inside") == there and not attached(firewall, "outside")


# ---- the end ----


@both_modes
def nothing_stays_attached(mode):
    "SIGTERM and SIGKILL leave no program attached, and packets pass on to the host"
    for number in (signal.SIGTERM, signal.SIGKILL):
        with fast_world(mode, proxy=False) as world:
            firewall = world.net.firewall
            proxy = world.start()
            taps = Taps(world)
            call = call_carried(world, taps)
            assert attached(firewall, "inside") and attached(firewall, "outside")
            world.keep(socket_for_gre(firewall))
            if number == signal.SIGTERM:
                world.hang_up()
                proxy.stop()
            else:
                proxy.kill()
            wait_until(lambda: not attached(firewall, "inside") and not attached(firewall, "outside"), what="detaching")
            before = taps.count()
            world.client.gre.send(world.net.inside, call.client_sees, b"to the host", 1)
            wait_until(lambda: taps.count() > before, PATIENCE, "the host to see the packet")
            with world.start():  # the next one finds the interfaces free
                assert attached(firewall, "inside")


def socket_for_gre(ns):
    """Keeps the host from answering GRE with ICMP."""
    with ns:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_GRE)


# ---- changes under a call ----


class Stream:
    """Numbered packets of a call, up; between which moments each was sent, and what arrived in which order."""

    def __init__(self, call):
        self.call, self.sent, self.got = call, [], []

    def send(self, size=20, pace=0.0):
        if pace:
            time.sleep(pace)  # a rate, not a wait
        began = time.monotonic()
        self.call.up(b"n" * size, seq=len(self.sent))
        self.sent.append((began, time.monotonic()))

    def take(self, timeout=PATIENCE):
        packet = self.call.session.server_host.gre.receive(timeout)
        assert packet.call_id == self.call.server_id and packet.source == self.call.session.server.remote[0], packet
        self.got.append(packet.seq)

    def take_all(self):
        """Each has come, and once; or LabTimeout."""
        while len(self.got) < len(self.sent):
            self.take()
        assert sorted(self.got) == list(range(len(self.sent))), "lost or doubled"

    def expect_order(self):
        """Nothing overtook but what may: behind a gap, or where nothing had to go the raw way for long."""
        latest = -1
        for seq in self.got:
            if seq < latest:
                times = self.sent[seq:latest + 1]
                # As long as they can have been: who sends may lose its turn before the clock is read.
                gap = max(after - before for (before, _), (_, after) in zip(times, times[1:]))
                assert gap >= GAP / 2 or times[-1][1] - times[0][0] >= HOLD, f"{latest} overtook {seq}: {self.got}"
            latest = max(latest, seq)


@both_modes
def order_is_kept(mode):
    "a call whose packets change between the ways loses none and swaps none: large ones among small ones"
    def lower(world):
        world.net.firewall.run("ip route replace 10.2.0.0/24 dev outside src 10.2.0.1 mtu 1000".split())

    with fast_world(mode, prepare=lower) as world:
        taps = Taps(world)
        call = call_carried(world, taps)
        stream = Stream(call)
        fast_ones = 0
        for large in (10, 7, 50, 3, 100) * 2:
            wait_carried(taps, call, check_up)
            before = taps.count()
            for i in range(100):
                stream.send(1200 if i % large == large - 1 else 20)
            stream.take_all()
            # Of each packet on the raw way the taps see two or more.
            fast_ones += 100 - (taps.count() - before) // 2
        stream.expect_order()
        assert fast_ones > 0, "all went the raw way"
        wait_carried(taps, call)


@both_modes
def route_flaps(mode):
    "a route that changes again and again under a stream of packets costs none, and the fast path comes back"
    with fast_world(mode) as world:
        taps = Taps(world)
        call = call_carried(world, taps)
        stream = Stream(call)
        for i in range(300):
            stream.send(pace=0.0005)
            if i % 20 == 10:
                metric = "" if i % 40 == 10 else " mtu 1300"
                world.net.firewall.run(f"ip route replace 10.2.0.0/24 dev outside src 10.2.0.1{metric}".split())
        stream.take_all()
        stream.expect_order()
        wait_carried(taps, call)


@both_modes
def next_hop_changes(mode):
    "a route that leads to another neighbour takes a call's packets with it"
    def prepare(world):
        server = world.net.server
        for name in ("all", "eth0", "default"):
            server.sysctl(f"net.ipv4.conf.{name}.arp_ignore", 1)
            server.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
        server.run("ip link add link eth0 name second type macvlan mode bridge".split())
        server.address("second", "10.2.0.11/32")
        ip("-n", server.name, "addr", "add", "10.9.0.1/32", "dev", "lo")
        world.net.firewall.route("10.9.0.1", "10.2.0.10")

    with fast_world(mode, prepare=prepare, pairs=["10.9.0.1"]) as world:
        taps = Taps(world)
        call = call_carried(world, taps)
        second = world.keep(Sniffer(world.net.server, "second"))
        by_second = lambda: len(second.matching(lambda packet: packet.protocol == GRE and not packet.out))
        assert by_second() == 0
        stream = Stream(call)
        for i in range(100):
            stream.send()
        stream.take_all()
        for via in ("10.2.0.11", "10.2.0.10") * 2:
            world.net.firewall.run(f"ip route replace 10.9.0.1 via {via}".split())
            for i in range(50):  # these may still be on their way by the old one, but none is lost
                stream.send()
            stream.take_all()
            wait_carried(taps, call)
            before = by_second()
            for i in range(50):
                stream.send()
            stream.take_all()
            assert by_second() - before == (50 if via == "10.2.0.11" else 0), via
        assert carried(taps, call, lambda: check_down(call))


def _second_link(world):
    """A second link between firewall and server, 10.4.0.0/24; the server is 10.9.0.1 by either."""
    net = world.net
    net.wire(net.firewall, "outside2", "10.4.0.1/24", net.server, "eth1", "10.4.0.10/24")
    gro(net.server, "eth1")
    for ns in (net.server, net.firewall):
        for name in ("all", "default"):
            ns.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
    ip("-n", net.server.name, "addr", "add", "10.9.0.1/32", "dev", "lo")
    net.firewall.route("10.9.0.1", "10.2.0.10")


NAMED = [word for device in ("inside", "outside", "outside2") for word in ("--fastpath-interface", device)]


@both_modes
def interface_changes(mode):
    "a route that leads out by another interface takes a call's packets with it; answers by the old one still arrive"
    with fast_world(mode, NAMED, prepare=_second_link, pairs=["10.9.0.1"]) as world:
        taps = Taps(world, "inside", "outside", "outside2")
        call = call_carried(world, taps)
        wires = {device: world.keep(Sniffer(world.net.server, device)) for device in ("eth0", "eth1")}
        count = lambda device: len(wires[device].matching(lambda packet: packet.protocol == GRE and not packet.out))
        stream = Stream(call)
        for via, device in (("10.4.0.10", "eth1"), ("10.2.0.10", "eth0")) * 2:
            world.net.firewall.run(f"ip route replace 10.9.0.1 via {via}".split())
            for i in range(50):
                stream.send()
            stream.take_all()
            wait_carried(taps, call, check_up)
            before = {name: count(name) for name in wires}
            for i in range(50):
                stream.send()
            stream.take_all()
            moved = {name: count(name) - before[name] for name in wires}
            assert moved == {"eth0": 50 * (device == "eth0"), "eth1": 50 * (device == "eth1")}, moved
            check_down(call, b"by whichever")


@both_modes
def route_goes_and_comes(mode):
    "while there is no route nothing is carried, and no packet leaves by the old one; then it goes on"
    def prepare(world):
        ip("-n", world.net.server.name, "addr", "add", "10.9.0.1/32", "dev", "lo")
        world.net.firewall.route("10.9.0.1", "10.2.0.10")

    with fast_world(mode, prepare=prepare, pairs=["10.9.0.1"]) as world:
        taps = Taps(world)
        call = call_carried(world, taps)
        wire = world.keep(Sniffer(world.net.server, "eth0"))
        arrived = lambda: len(wire.matching(lambda packet: packet.protocol == GRE and not packet.out))

        def stays():
            before = taps.count()
            call.up(b"astray")
            return taps.count() > before

        world.net.firewall.run("ip route replace unreachable 10.9.0.1".split())
        wait_until(stays, PATIENCE, "the host to have the packets")
        before, seen = arrived(), taps.count()
        for i in range(20):
            call.up(b"astray")
        wait_until(lambda: taps.count() == seen + 20, PATIENCE, "the host to have each of them")
        assert arrived() == before
        world.net.firewall.run("ip route replace 10.9.0.1 via 10.2.0.10".split())
        wait_arrives(call)
        wait_carried(taps, call)


def wait_arrives(call, what="packets to arrive again"):
    """Until the call's packets arrive at the server. Several may have left by then, by either way: none is left there."""
    number = itertools.count()

    def arrives():
        payload = b"again %d" % next(number)
        call.up(payload)
        try:
            call.session.server_host.gre.until(payload, 0.2)
        except LabTimeout:
            return False
        return True

    wait_until(arrives, what=what)
    wait_until(arrives, what=f"{what}, behind those that went the other way")


@both_modes
def neighbour_changes(mode):
    "a server whose MAC address changes gets the call's packets at the new one, however the host learns of it"
    def prepare(world):
        # Else the host takes nothing new of a neighbour for a second.
        world.net.firewall.sysctl("net.ipv4.neigh.outside.locktime", 0)

    with fast_world(mode, prepare=prepare) as world:
        firewall, server = world.net.firewall, world.net.server
        taps = Taps(world)
        call = call_carried(world, taps)
        for i, told in enumerate(("entry", "announcement", "entry", "announcement")):
            mac = f"02:00:00:00:99:{i:02x}"
            ip("-n", server.name, "link", "set", "dev", "eth0", "address", mac)
            if told == "entry":
                firewall.run(f"ip neigh replace {world.server.ip} lladdr {mac} nud reachable dev outside".split())
            else:
                _announce(world, mac)
            wait_arrives(call, f"packets to follow to {mac}")
            wait_carried(taps, call)


def _announce(world, mac):
    """A gratuitous ARP of the server."""
    mac, addr = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(world.server.ip)
    end = End(world.net.server)
    end.sock.send(b"\xff" * 6 + mac + b"\x08\x06" + bytes.fromhex("0001080006040002") + mac + addr + mac + addr)
    end.close()


@both_modes
def neighbour_is_looked_for(mode):
    "a neighbour that the host has forgotten is found by the raw way's packets; one that it doubts is confirmed"
    with fast_world(mode) as world:
        firewall = world.net.firewall
        taps = Taps(world)
        call = call_carried(world, taps)
        stream = Stream(call)
        # Deaf for a while, so that the first ones must wait for the answer.
        world.net.server.sysctl("net.ipv4.conf.all.arp_ignore", 8)
        firewall.run(f"ip neigh del {world.server.ip} dev outside".split())
        before = taps.count()
        wait_until(lambda: (stream.send(), taps.count() > before)[1], PATIENCE, "the host to have one")
        before = taps.count()
        for i in range(50):
            stream.send()
        wait_until(lambda: taps.count() >= before + 50, PATIENCE, "the host to have them")
        world.net.server.sysctl("net.ipv4.conf.all.arp_ignore", 0)
        stream.take_all()
        wait_carried(taps, call)

        def state():
            return firewall.run(f"ip neigh show {world.server.ip} dev outside".split()).stdout

        firewall.run(f"ip neigh change {world.server.ip} dev outside nud stale".split())
        assert "STALE" in state() or "DELAY" in state() or "REACHABLE" in state()
        before = taps.count()
        wait_until(lambda: (call.up(b"on"), call.expect_up(b"on"), "REACHABLE" in state())[-1], 15, "its confirmation")
        assert taps.count() == before, "it was not carried all the while"


@both_modes
def interface_goes_down_and_up(mode):
    "an interface that goes down under a call ends nothing, and once up again the fast path comes back"
    with fast_world(mode) as world:
        firewall = world.net.firewall
        taps = Taps(world)
        call = call_carried(world, taps)
        for i in range(3):
            ip("-n", firewall.name, "link", "set", "dev", "outside", "down")
            for _ in range(20):
                call.up(b"lost")
            ip("-n", firewall.name, "link", "set", "dev", "outside", "up")
            wait_arrives(call)
            wait_carried(taps, call)
        assert not world.log.matching(CALL_ENDED)
        call.session.check()


@both_modes
def mtu_is_lowered(mode):
    "an MTU that is lowered under a call: larger packets leave in fragments by the raw way, small ones the fast way"
    with fast_world(mode) as world:
        taps = Taps(world)
        call = call_carried(world, taps)
        large = lambda call: check_up(call, b"L" * 1300)
        assert carried(taps, call, lambda: large(call))
        world.net.firewall.run("ip route replace 10.2.0.0/24 dev outside src 10.2.0.1 mtu 1000".split())
        wire = world.keep(Sniffer(world.net.server, "eth0"))
        pieces = lambda: [packet for packet in wire.matching(lambda p: p.protocol == GRE and not p.out) if packet.mf]
        wait_until(lambda: (large(call), pieces())[1], PATIENCE, "fragments")
        before = len(pieces())
        for i in range(20):
            large(call)
        assert len(pieces()) == before + 20
        wait_carried(taps, call)
        world.net.firewall.run("ip route replace 10.2.0.0/24 dev outside src 10.2.0.1".split())
        wait_until(lambda: carried(taps, call, lambda: large(call)), PATIENCE, "large ones to be carried again")
        world.net.firewall.mtu("outside", 900)
        wait_until(lambda: not carried(taps, call, lambda: check_up(call, b"M" * 900)), PATIENCE, "the link's MTU")
        wait_carried(taps, call, check_up)
        assert max(p.total for p in wire.matching(lambda p: p.protocol == GRE and not p.out)[-3:]) <= 900


@in_modes("native")
def way_out_takes_no_frames_any_more(mode):
    "an interface that stops taking frames from native XDP under a call: its packets go the raw way until it does again"
    with fast_world(mode) as world:
        taps = Taps(world)
        call = call_carried(world, taps)
        world.net.server.run("ethtool -K eth0 gro off".split())
        wait_arrives(call)
        assert not carried(taps, call, lambda: check_up(call))
        wait_carried(taps, call, check_down)
        gro(world.net.server)
        wait_carried(taps, call)


def _narrow_road(world):
    """The server is 10.9.0.1 behind a router, whose link to it takes 1300 octets: firewall - router - server."""
    net = world.net
    router = net.add("router")
    net.wire(net.firewall, "far", "10.4.0.1/24", router, "near", "10.4.0.2/24")
    net.wire(router, "narrow", "10.5.0.1/24", net.server, "eth1", "10.5.0.10/24")
    router.mtu("narrow", 1300)
    net.server.mtu("eth1", 1300)
    router.sysctl("net.ipv4.ip_forward", 1)
    gro(router, "near")
    ip("-n", net.server.name, "addr", "add", "10.9.0.1/32", "dev", "lo")
    router.route("10.9.0.1", "10.5.0.10")
    net.firewall.route("10.9.0.1", "10.4.0.2")
    net.server.route("10.4.0.0/24", "10.5.0.1")


@in_modes("off", "native", "generic")
def narrow_link_behind_a_router(mode):
    "packets of 1400 octets with DF all arrive, in fragments, where a router further on has a link of 1300"
    with fast_world(mode, prepare=_narrow_road, pairs=["10.9.0.1"]) as world:
        taps = Taps(world, "inside", "far")
        call = world.session().call(5, 7) if mode == "off" else call_carried(world, taps)
        wire = world.keep(Sniffer(world.net.server, "eth1"))
        world.client.gre.df(True)
        payload = b"n" * (1400 - 20 - 12)
        before = taps.count()
        stream = Stream(call)
        for _ in range(5):
            for _ in range(40):  # at once: their fragments are told apart by the identification
                stream.send(len(payload))
            stream.take_all()
        assert taps.count() - before == (2 * 200 if mode == "off" else 0)
        pieces = wire.matching(lambda packet: packet.protocol == GRE and not packet.out and (packet.mf or packet.offset))
        assert len(pieces) == 2 * 200, f"{len(pieces)} fragments"
        check_down(call)


def _delete_and_make(world, *words):
    """Delete the outside link and make it anew, with what it had."""
    net = world.net
    ip("-n", net.firewall.name, "link", "del", "dev", "outside")
    ip("-n", net.firewall.name, "link", "add", "outside", *words, "type", "veth", "peer", "name", "eth0", "netns",
       net.server.name)
    _address_outside(world)


def _move_away_and_back(world):
    """The outside interface goes to another namespace and comes back."""
    net = world.net
    ip("-n", net.firewall.name, "link", "set", "dev", "outside", "netns", net.server.name)
    ip("-n", net.server.name, "link", "set", "dev", "outside", "netns", net.firewall.name)
    net.firewall.address("outside", "10.2.0.1/24")


def _address_outside(world):
    net = world.net
    net.firewall.address("outside", "10.2.0.1/24")
    net.server.address("eth0", "10.2.0.10/24")
    net.server.route("default", "10.2.0.1")
    gro(net.server)


def _index(ns, device):
    return int(ip("-n", ns.name, "-o", "link", "show", "dev", device).split(":")[0])


@both_modes
def interface_is_made_anew(mode):
    "an interface that is deleted or moved away under a call and comes back: its packets follow, by the fast path"
    with fast_world(mode) as world:
        firewall = world.net.firewall
        call = call_carried(world, Taps(world))
        number = _index(firewall, "outside")
        ways = (lambda: _delete_and_make(world),
                lambda: _delete_and_make(world, "index", _index(firewall, "outside")),
                lambda: _move_away_and_back(world))
        for i, way in enumerate(ways):
            number = _index(firewall, "outside")
            way()
            assert i != 1 or _index(firewall, "outside") == number
            wait_arrives(call)
            world.log.wait("fast path: outside is gone; its packets stay on the raw way", PATIENCE, count=i + 1)
            world.log.wait("fast path: outside is back", PATIENCE, count=i + 1)
            assert attached(firewall, "outside")
            taps = Taps(world)  # the one of before saw the interface that is no more
            wait_carried(taps, call)
            assert not world.log.matching(CALL_ENDED)
            call.session.check()


@both_modes
def unattached_link_takes_the_route(mode):
    "a link that is not attached to comes up and has the better route: packets follow by the raw way, and come back"
    def prepare(world):
        net = world.net
        _second_link(world)
        net.firewall.sysctl("net.ipv4.conf.all.ignore_routes_with_linkdown", 1)
        net.firewall.run("ip route replace 10.9.0.1 via 10.2.0.10 metric 20".split())
        net.firewall.run("ip route add 10.9.0.1 via 10.4.0.10 metric 10".split())
        net.firewall.run("ip route del 10.9.0.1 via 10.2.0.10 metric 0".split(), check=False)
        ip("-n", net.server.name, "link", "set", "dev", "eth1", "down")

    with fast_world(mode, NAMED[:4], prepare=prepare, pairs=["10.9.0.1"]) as world:
        taps = Taps(world, "inside", "outside2")
        call = call_carried(world, taps, check_up)
        wire = world.keep(Sniffer(world.net.firewall, "outside2"))
        by_it = lambda: len(wire.matching(lambda packet: packet.protocol == GRE and packet.out))
        for _ in range(2):
            before = by_it()
            ip("-n", world.net.server.name, "link", "set", "dev", "eth1", "up")
            wait_until(lambda: (check_up(call), by_it() > before)[1], PATIENCE, "packets to follow the route")
            before = by_it()
            for i in range(20):
                check_up(call, b"by the link %d" % i)
            assert by_it() == before + 20
            ip("-n", world.net.server.name, "link", "set", "dev", "eth1", "down")
            wait_arrives(call)
            wait_carried(taps, call, check_up)
        assert not world.log.matching(CALL_ENDED)


@in_modes("off", "native", "generic")
def hop_limit_of_the_route(mode):
    "a route's hop limit is the TTL of what leaves by it, by either way, and the host's again once it is taken back"
    def route(world, *more):
        world.net.firewall.run(["ip", "route", "replace", "10.2.0.0/24", "dev", "outside", "src", "10.2.0.1", *more])

    with fast_world(mode) as world:
        taps = Taps(world)
        call = world.session().call(5, 7) if mode == "off" else call_carried(world, taps)

        def leaves_with(ttl, payload=b"probe"):
            call.up(payload)
            return call.expect_up(payload).ttl == ttl

        assert leaves_with(64)
        for words, ttl in ((("hoplimit", 77), 77), ((), 64), (("hoplimit", 255), 255)):
            route(world, *words)
            wait_until(lambda: leaves_with(ttl), PATIENCE, f"TTL {ttl}")
            if mode != "off":
                wait_carried(taps, call)
            for _ in range(20):
                assert leaves_with(ttl)
            call.down(b"the other way")
            call.expect_down(b"the other way", ttl=64)
        # Large ones go the raw way.
        route(world, "hoplimit", 77, "mtu", 1000)
        large = b"L" * 1200
        wait_until(lambda: leaves_with(77) and not carried(taps, call, lambda: leaves_with(77, large)), PATIENCE, "the MTU")
        for _ in range(20):
            assert leaves_with(77, large) and leaves_with(77)


# ---- real peers ----


@both_modes
def real_peers(mode):
    "pptp calls pptpd: pings and bulk traffic are carried by the fast path"
    with ExitStack() as stack:
        net = stack.enter_context(DualHomed())
        gro(net.client)
        gro(net.server)
        pptpd = stack.enter_context(Pptpd(net.server))
        proxy = stack.enter_context(Proxy(net.firewall, ["-p", net.server.ip, "--fastpath", mode]))
        call = stack.enter_context(Call(net.client, net.inside))
        call.wait_up()
        pptpd.wait_up(call)
        call.ping(5)
        call.ping(3, size=1372)
        with Sniffer(net.firewall, "inside") as wire:
            call.iperf(pptpd, 1)
            call.iperf(pptpd, 1, reverse=True)
            seen = len(wire.matching(lambda packet: packet.protocol == GRE))
        call.hang_up()
        sent = proxy.log.wait(rf"{CALL_ENDED}.*client sent (\d+) packets.*server sent (\d+) packets")
        proxy.stop()
        total = int(proxy.log.wait(r"carried by the fast path: (\d+)")[1])
        tap.comment(f"{total} of {int(sent[1]) + int(sent[2])} packets carried, {seen} seen by the host meanwhile")
        assert total > 0.9 * (int(sent[1]) + int(sent[2]))


if __name__ == "__main__":
    tap.main()
