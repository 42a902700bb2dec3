#!/usr/bin/python3
"""--capture: what is in the file, as tshark reads it; its files; and what it does to calls: nothing."""

import contextlib
import os
import re
import signal
import stat
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import messages, tap, turmoil
from lab.fake import PATIENCE, World
from lab.messages import CCRQ, CDN, ECHO_RQ, ICRQ, OCRP, OCRQ, SCCRP, SCCRQ, WEN, build
from lab.place import Directory
from lab.proc import wait_until
from lab.proxy import Proxy, program
from lab.real import Call, Pptpd
from lab.shark import Capture, Message, Packet
from lab.topo import DualHomed

BEGINS = r"capture .*: begins"
ENDS = r"capture .*: ends: (\d+) packets by this worker, (\d+) lost"


def end(world):
    """The program's end, after which all has been written. The streams first, as World does it."""
    world.hang_up()
    world.proxy.stop()


def packets_of(call, seq, length=16):
    """What a packet each way is in a capture."""
    s = call.session
    client, inside = s.client.local[0], s.client.remote[0]
    outside, server = s.server.remote[0], s.server.local[0]
    return [
        Packet(client, inside, call.client_sees, seq, length), Packet(outside, server, call.server_id, seq, length),
        Packet(server, outside, call.server_sees, seq, length), Packet(inside, client, call.client_id, seq, length),
    ]


def lcp(seq, length=16):
    """An LCP Echo-Request of that many octets, which differs from others: nothing for tshark to complain about."""
    return struct.pack("!BBHBBHI", 0xFF, 3, 0xC021, 9, seq & 0xFF, length - 4, seq) + bytes(length - 12)


def exchange(call, seq, length=16):
    payload = lcp(seq, length)
    call.up(payload, seq)
    call.expect_up(payload)
    call.down(payload, seq)
    call.expect_down(payload)


def test_messages_and_packets_on_both_sides():
    "messages and packets of a call are in the file as they were on each side, with both sides' IDs, and nothing else is"
    with Directory() as place, World(["--capture", place / "x.pcap"]) as world:
        world.session().call(5, 7, settle=False)
        session = world.session()
        call = session.call(5, 7, settle=False)
        assert call.server_sees != 5 and call.client_sees != 7
        session.check()
        exchange(call, 1)
        exchange(call, 2, 1400)
        call.clear()
        end(world)
        capture = Capture(place / "x.pcap")
        capture.check()
        assert capture.packets() == packets_of(call, 1) + packets_of(call, 2, 1400)
        client, inside = session.client.local[0], session.client.remote[0]
        outside, server = session.server.remote[0], session.server.local[0]

        def passed_up(kind, received, sent):
            return [Message(client, inside, kind, *received), Message(outside, server, kind, *sent)]

        def passed_down(kind, received, sent):
            return [Message(server, outside, kind, *received), Message(inside, client, kind, *sent)]

        none = (None, None)
        assert capture.messages()[8:] == [
            *passed_up(SCCRQ, none, none), *passed_down(SCCRP, none, none),
            *passed_up(OCRQ, (5, None), (call.server_sees, None)),
            *passed_down(OCRP, (7, call.server_sees), (call.client_sees, 5)),
            *passed_up(ECHO_RQ, none, none), *passed_down(ECHO_RQ, none, none),
            *passed_up(CCRQ, (5, None), (call.server_sees, None)),
            *passed_down(CDN, (7, None), (call.client_sees, None)),
        ]


def seqs(*captures):
    """The sequence numbers of packets as they were received, in order."""
    return [packet.seq for capture in captures for packet in capture.packets()][::2]


def packets_there(path):
    """How many packets the file has so far, control messages' segments left out; -1: half of one is there."""
    try:
        return sum(1 for _, octets in Capture(path).records() if octets[9] == 47)
    except (AssertionError, OSError):
        return -1


def wait_packets(path, count):
    wait_until(lambda: packets_there(path) >= count, what=f"{count} packets in {path}")


def test_what_is_dropped():
    "a packet of no call, and a message about no call, are seen on the side that they came from only; answers of our own where they go"
    with Directory() as place, World(["--capture", place / "x.pcap"]) as world:
        session = world.session()
        call = session.call(5, 7)
        world.client.gre.send(session.client.remote[0], call.client_sees ^ 1, lcp(1), 1)
        exchange(call, 2)
        session.client.send(build(WEN, peer_id=call.client_sees ^ 1))
        session.check()
        world.session()
        end(world)
        capture = Capture(place / "x.pcap")
        capture.check()
        client, inside = session.client.local[0], session.client.remote[0]
        assert capture.packets() == [Packet(client, inside, call.client_sees ^ 1, 1, 16), *packets_of(call, 2)]
        told = [message for message in capture.messages() if message.type == WEN]
        assert told == [Message(client, inside, WEN, None, call.client_sees ^ 1)], told


@tap.in_time(1.0)  # GRE_HOLD_MS
def test_held_packets(clock):
    "a packet that comes before its Reply is seen when it comes, and again when it leaves"
    with Directory() as place, World(["--capture", place / "x.pcap"]) as world:
        session = world.session()
        session.client.send(build(OCRQ, call_id=5))
        server_sees = session.server.expect(OCRQ).call_id
        outside, server = session.server.remote[0], session.server.local[0]
        clock.start()
        world.server.gre.send(outside, server_sees, lcp(1), 1)
        wait_packets(place / "x.pcap", 1)
        session.server.send(build(OCRP, call_id=7, peer_id=server_sees))
        session.client.expect(OCRP)
        clock.stop()
        world.client.gre.expect(5, lcp(1))
        end(world)
        capture = Capture(place / "x.pcap")
        capture.check()
        client, inside = session.client.local[0], session.client.remote[0]
        assert capture.packets() == [Packet(server, outside, server_sees, 1, 16), Packet(inside, client, 5, 1, 16)]


def test_headers_of_packets():
    "DSCP and ECN of a packet that leaves are those of the one that came; the octets of both differ in the call ID alone"
    with Directory() as place, World(["--capture", place / "x.pcap"]) as world:
        world.session().call(5, 7)
        call = world.session().call(5, 7)
        call.up(lcp(1), 1, tos=0xBA)
        call.expect_up(lcp(1), tos=0xBA)
        end(world)
        capture = Capture(place / "x.pcap")
        came, left = [octets for _, octets in capture.records() if octets[9] == 47]
        assert came[1] == left[1] == 0xBA and left[8] == 64 and len(came) == len(left)
        assert came[20:] == messages.gre(call.client_sees, lcp(1), 1)
        assert left[20:] == messages.gre(call.server_id, lcp(1), 1)


def test_streams():
    "each leg is one TCP stream with a beginning and an end, whatever its port; octets follow on each other"
    with Directory() as place, World(["--capture", place / "x.pcap"], pairs=["0.0.0.0:1750,10.2.0.10"]) as world:
        stream = world.dial(port=1750)
        stream.send(build(SCCRQ))
        server = world.server.accept()
        server.send(build(SCCRP))
        server.expect(SCCRQ)
        stream.expect(SCCRP)
        for number in range(200):
            stream.send(build(ECHO_RQ, identifier=number))
            server.expect(ECHO_RQ, identifier=number)
        end(world)
        capture = Capture(place / "x.pcap", port=1750)
        capture.check()
        syn, syn_ack, ack, push, fin = "0x0002", "0x0012", "0x0010", "0x0018", "0x0011"
        for stream_number, messages_here in ((0, 202), (1, 202)):
            flags = [flag for _, _, flag in capture.flags(stream_number)]
            assert flags == [syn, syn_ack, ack] + [push] * messages_here + [fin, fin, ack], flags
        assert len(capture.fields("tcp.stream > 1", "ip.src")) == 0


def test_who_closes():
    "whoever closes a connection is first to do so in the capture, too: the client, then we our leg to the server"
    with Directory() as place, World(["--capture", place / "x.pcap"]) as world:
        session = world.session()
        session.client.close()
        session.server.expect_end()
        session.server.close()
        world.log.wait("closed: client closed")
        end(world)
        capture = Capture(place / "x.pcap")
        capture.check()
        firsts = [[flag for flag in capture.flags(stream) if flag[2] == "0x0011"][0] for stream in (0, 1)]
        assert firsts == [(world.client.ip, str(session.client.local[1]), "0x0011"),
                          (session.server.remote[0], str(session.server.remote[1]), "0x0011")], firsts


def test_real_call():
    "a call of real ends: tshark sees LCP being negotiated on both sides, and finds nothing wrong"
    with Directory() as place, DualHomed() as net, Pptpd(net.server) as pptpd:
        with Proxy(net.firewall, ["-p", net.server.ip, "--capture", place / "x.pcap"]) as proxy:
            with Call(net.client, net.inside) as call:
                call.wait_up()
                pptpd.wait_up(call)
                call.ping(5)
                call.hang_up()
            proxy.log.wait(r": closed: ", 15)
            proxy.stop()
            lost = proxy.log.wait(ENDS)[2]
        capture = Capture(place / "x.pcap")
        assert lost == "0" and capture.whole()
        wrong = [line for line in capture.tshark("-Y", "_ws.malformed || tcp.analysis.flags || tcp.checksum.status == 0 "
                                                 "|| ip.checksum.status == 0")]
        assert not wrong, wrong
        codes = {(row[0].split(",")[0], row[1]) for row in capture.fields("lcp && gre", "ip.src", "ppp.code")}
        for source in (net.client.ip, net.server.ip, net.inside, net.outside):
            assert (source, "2") in codes, f"no LCP Configure-Ack of {source}: {codes}"
        kinds = [message.type for message in capture.messages()]
        assert kinds[:8] == [SCCRQ] * 2 + [SCCRP] * 2 + [OCRQ] * 2 + [OCRP] * 2, kinds


# ---- its files ----


def test_mode_and_rotation():
    "mode 0600; a full file becomes FILE.1, of which there is one; between them no packet is lost"
    with Directory() as place, World(["--capture", place / "x.pcap", "--capture-limit", "1"], debug=False) as world:
        call = world.session().call(5, 7)
        assert stat.S_IMODE(os.stat(place / "x.pcap").st_mode) == 0o600
        os.symlink("/etc/passwd", place / "x.pcap.1")  # it is the name that is replaced
        passwd = Path("/etc/passwd").read_bytes()
        seq = 0
        while os.path.islink(place / "x.pcap.1"):
            seq += 1
            exchange(call, seq, 1400)
        for _ in range(50):
            seq += 1
            exchange(call, seq, 1400)
        end(world)
        older, newer = Capture(place / "x.pcap.1"), Capture(place / "x.pcap")
        for capture in (older, newer):
            assert capture.whole()
            assert os.stat(capture.path).st_size <= 1 << 20
            assert stat.S_IMODE(os.stat(capture.path).st_mode) == 0o600
        assert os.stat(older.path).st_size > (1 << 20) - 70000
        assert seqs(older, newer) == [number for number in range(1, seq + 1) for _ in range(2)]
        assert Path("/etc/passwd").read_bytes() == passwd
        assert sorted(os.listdir(place.path)) == ["x.pcap", "x.pcap.1"]


def test_bad_files():
    "what is no capture is not overwritten, and a start with it fails with one line that names it; so does --check"
    with Directory() as place, World(proxy=False) as world:
        (place / "text").write_text("important\n")
        os.symlink(place / "text", place / "link")
        os.mkdir(place / "directory")
        (place / "notes.1").write_text("precious\n")
        for name, reason in (("text", "no capture"), ("link", "symbolic link"), ("directory", "no file"),
                             ("notes", "notes.1: it is there, and no capture"),
                             ("none/x.pcap", "No such file or directory")):
            proxy = Proxy(world.net.firewall, ["-p", world.server.ip, "--capture", place / name], ready=False)
            assert proxy.wait(15) == 1
            [line] = [line for line in proxy.log.matching("capture file")]
            assert str(place / name) in line and reason in line, line
            checked = world.net.firewall.run([program(), "--check", "-p", world.server.ip, "--capture", place / name],
                                             check=False)
            assert checked.returncode == 1 and reason in checked.stderr, checked
        assert (place / "text").read_text() == "important\n"
        assert sorted(os.listdir(place.path)) == ["directory", "link", "notes.1", "text"]


def test_older_captures_stay():
    "a start keeps the capture of the last one as FILE.1; one that saw nothing takes no place"
    with Directory() as place:
        for number in (1, 2):
            with World(["--capture", place / "x.pcap"]) as world:
                exchange(world.session().call(5, 7), number)
                end(world)
        assert seqs(Capture(place / "x.pcap.1")) == [1, 1] and seqs(Capture(place / "x.pcap")) == [2, 2]
        for _ in range(2):
            with World(["--capture", place / "x.pcap"]) as world:
                end(world)
        assert seqs(Capture(place / "x.pcap.1")) == [2, 2]
        assert Capture(place / "x.pcap").packets() == []


def test_full_disk():
    "a disk that is full ends the capture with one line; calls go on; a reload with room begins it again"
    with Directory() as place, World(proxy=False) as world:
        disk = place / "disk"
        disk.mkdir()
        conf = place / "conf"
        conf.write_text(f"proxy 0.0.0.0:1723,10.2.0.10\ncapture {disk}/x.pcap\n")
        wrapper = place / "wrapper"
        wrapper.write_text("#!/bin/sh\nexec unshare --mount --propagation private sh -c '"
                           f'mount -t tmpfs -o size=256k lab {disk} && exec "$0" "$@"\' {program()} "$@"\n')
        wrapper.chmod(0o755)
        place.path.chmod(0o755)
        before = os.environ.get("PPTPPROXY")
        os.environ["PPTPPROXY"] = str(wrapper)
        try:
            world.pairs, world.words = [], ["-c", str(conf)]
            world.start(debug=False)
        finally:
            if before is None:
                del os.environ["PPTPPROXY"]
            else:
                os.environ["PPTPPROXY"] = before
        call = world.session().call(5, 7)
        seq = 0
        while not world.log.matching("cannot be written"):
            seq += 1
            exchange(call, seq, 1400)
        for _ in range(100):
            seq += 1
            exchange(call, seq, 1400)
        [line] = world.log.matching("cannot be written")
        assert "No space left on device" in line and "calls go on" in line, line
        assert len(world.log.matching(ENDS)) == 1
        inside = f"/proc/{world.proxy.pid}/root{disk}/x.pcap"
        kept = place / "kept"
        kept.write_bytes(Path(inside).read_bytes())
        read = seqs(Capture(kept, whole=False))
        assert len(read) > 50 and read == [1 + i // 2 for i in range(len(read))]
        os.unlink(inside)
        conf.write_text(conf.read_text() + "max-calls 99\n")
        mark = world.log.mark()
        turmoil.reload(world.proxy)
        world.log.wait(BEGINS, PATIENCE, after=mark)
        seq += 1
        exchange(call, seq)
        wait_packets(inside, 4)
        end(world)


# ---- what befalls the program ----


def test_worker_dies():
    "after the worker's death the next one begins a new file; the old one is whole, and streams go on by their positions"
    with Directory() as place, World(["--capture", place / "x.pcap"]) as world:
        session = world.session()
        call = session.call(5, 7)
        exchange(call, 1)
        wait_packets(place / "x.pcap", 4)
        turmoil.kill(world.proxy).over()
        exchange(call, 2)
        call.clear()
        end(world)
        older, newer = Capture(place / "x.pcap.1"), Capture(place / "x.pcap")
        older.check()
        newer.check()
        assert older.packets() == packets_of(call, 1) and newer.packets() == packets_of(call, 2)
        names = ("tcp.seq_raw", "tcp.len", "tcp.ack_raw")
        for end_of_leg in (session.client.local, session.client.remote, session.server.local, session.server.remote):
            what = f"pptp && ip.src == {end_of_leg[0]} && tcp.srcport == {end_of_leg[1]}"
            seq, length, _ = map(int, older.fields(what, *names)[-1])
            went_on = int(newer.fields(what, *names)[0][0])
            assert went_on == (seq + length) & 0xFFFFFFFF, f"{what}: {went_on} behind {seq} and {length} octets"


def test_upgrade():
    "an upgrade loses no packet of the capture, and begins a new file"
    with Directory() as place, turmoil.Installed() as installed:
        with installed.in_use():
            world = World(["--capture", place / "x.pcap"])
        with world:
            call = world.session().call(5, 7)
            for seq in range(1, 51):
                exchange(call, seq)
            turmoil.upgrade(world.proxy)
            for seq in range(51, 101):
                exchange(call, seq)
            end(world)
        older, newer = Capture(place / "x.pcap.1"), Capture(place / "x.pcap")
        older.check()
        newer.check()
        assert seqs(older, newer) == [number for number in range(1, 101) for _ in range(2)]


def test_reload():
    "SIGHUP begins a capture, changes its file, and ends it; one that stays as it is goes on in its file"
    with Directory() as place, World(proxy=False) as world:
        conf = place / "conf"
        base = "proxy 0.0.0.0:1723,10.2.0.10\n"
        conf.write_text(base)
        place.path.chmod(0o755)
        world.pairs, world.words = [], ["-c", str(conf)]
        world.start(debug=False)
        call = world.session().call(5, 7)
        # What the log says of the capture once it is in use.
        steps = [("", None), ("capture {}/a.pcap\n", BEGINS), ("capture {}/a.pcap\nmax-calls 9\n", None),
                 ("capture {}/b.pcap\n", BEGINS), ("capture {}/none/b.pcap\n", None), ("", ENDS)]
        for seq, (line, told) in enumerate(steps):
            conf.write_text(base + line.format(place.path))
            mark = world.log.mark()
            if "none" in line:
                assert "No such file" in turmoil.refused_reload(world.proxy)
            else:
                turmoil.reload(world.proxy)
            if told:
                world.log.wait(told, PATIENCE, after=mark)
            exchange(call, seq)
        end(world)
        assert seqs(Capture(place / "a.pcap")) == [1, 1, 2, 2]
        assert seqs(Capture(place / "b.pcap")) == [3, 3, 4, 4]
        assert sorted(os.listdir(place.path)) == ["a.pcap", "b.pcap", "conf"]


def test_one_writer():
    "a file that another instance writes, or a tap, is left to it: a start, a reload and a tap fail with one line, a second start is told of the first"
    taken = "capture file {}: another process writes a capture to it"
    with Directory() as place, World(["--capture", place / "x.pcap"]) as world:
        conf, own = Path(place / "conf"), "proxy 127.0.0.1:1999,192.0.2.1\ncapture {}/y.pcap\n".format(place.path)
        conf.write_text(own)
        place.path.chmod(0o755)
        call = world.session().call(5, 7)
        exchange(call, 1)
        same = Proxy(world.net.firewall, ["-p", "127.0.0.1:1999,192.0.2.1", "--capture", place / "x.pcap"], ready=False)
        assert same.wait(15) == 1 and "already running as pid" in same.log.text(), same.log.text()
        # Elsewhere, so that nothing else is in its way.
        words = ["-p", "127.0.0.1:1999,192.0.2.1", "--capture", place / "x.pcap"]
        second = Proxy(world.net.server, words, ready=False)
        assert second.wait(15) == 1
        assert second.log.matching("capture file") == ["pptpproxy: " + taken.format(place / "x.pcap")], second.log.text()
        checked = world.net.server.run([program(), "--check", *words], check=False)
        assert checked.returncode == 0, checked  # it may be the running instance's own
        with Proxy(world.net.server, ["-c", str(conf)]) as second:
            second.log.wait(BEGINS, PATIENCE)
            conf.write_text(own.replace("y.pcap", "x.pcap"))
            assert taken.format(place / "x.pcap") in turmoil.refused_reload(second)
            # Its own stays its own, however often it is read.
            for number in (7, 8):
                conf.write_text(f"max-calls {number}\n" + own)
                turmoil.reload(second)
        with Tap(world, "all", place / "x.pcap", begins=False) as tapped:
            assert tapped.wait(1) == f"pptpproxy: {taken.format(place / 'x.pcap')}\n"
        with Tap(world, "all", place / "z.pcap"):
            exchange(call, 2)
            with Tap(world, "all", place / "z.pcap", begins=False) as tapped:
                assert tapped.wait(1) == f"pptpproxy: {taken.format(place / 'z.pcap')}\n"
        end(world)
        assert seqs(Capture(place / "x.pcap")) == [1, 1, 2, 2]
        with Proxy(world.net.server, words):  # nobody's any more
            pass


# ---- taps ----


class Tap:
    """pptpproxy --tap, running; .wait() its standard error once it has ended."""

    def __init__(self, world, what, path, *words, begins=True):
        self.world, self.path, self.mark = world, path, world.log.mark()
        with world.net.firewall:
            self.popen = subprocess.Popen([program(), "--tap", what, "--capture", path, *words], stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE)
        if begins:
            world.log.wait(rf"tap {re.escape(what)}: begins, asked for by user 0", PATIENCE, after=self.mark)

    def wait(self, status=0):
        out, err = self.popen.communicate(timeout=PATIENCE)
        assert self.popen.returncode == status, (self.popen.returncode, err)
        self.out = out
        return err.decode()

    def interrupt(self):
        """^C; what it says at the end: packets, lost."""
        self.popen.send_signal(signal.SIGINT)
        found = re.fullmatch(r"pptpproxy: (\d+) packets captured, (\d+) lost\n", self.wait())
        return int(found[1]), int(found[2])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.communicate()


def connection(world, session):
    return world.number(session.client)


def test_tap_of_one_call():
    "--tap of one call among two: its packets and its connection's messages, none of the other's; it ends with the call"
    with Directory() as place, World() as world:
        session, other_session = world.session(), world.session()
        call, sister, other = session.call(5, 7), session.call(6, 8), other_session.call(9, 10)
        with Tap(world, f"{connection(world, session)}:5", place / "x.pcap") as tap_:
            for one in (call, sister, other):
                exchange(one, 1)
            other_session.check()
            session.check()
            exchange(call, 2)
            session.client.send(build(CCRQ, call_id=5))
            session.server.expect(CCRQ)
            session.server.send(build(CDN, call_id=7))
            session.client.expect(CDN)
            assert re.fullmatch(r"pptpproxy: \d+ packets captured, 0 lost\n", tap_.wait())
        capture = Capture(place / "x.pcap")
        capture.check()
        assert capture.packets() == packets_of(call, 1) + packets_of(call, 2)
        kinds = [message.type for message in capture.messages()]
        assert kinds[:5] == [ECHO_RQ] * 4 + [CCRQ] and {message.source for message in capture.messages()} == {
            session.client.local[0], session.client.remote[0], session.server.local[0], session.server.remote[0]}
        assert not capture.fields(f"tcp.port == {other_session.client.local[1]}", "ip.src")
        story = subprocess.run([program(), "--explain", place / "x.pcap"], capture_output=True, text=True, check=True).stdout
        assert story.count("it began before the capture") == 2 and story.count("ended: client hangs up") == 2, story
        assert "2 of 2 control connections began before" in story and "  2. " not in story and "which no call" not in story, story
        sister.check(lcp(3))
        other.check(lcp(3))


def test_tap_of_a_client():
    "--tap of a client: all its calls, those that come later too, and nothing of another client"
    with Directory() as place, World(clients=2) as world:
        first, other = world.session(0).call(5, 7), world.session(1).call(6, 8)
        with Tap(world, world.clients[0].ip, place / "x.pcap") as tap_:
            later = world.session(0).call(15, 17)
            for call in (first, other, later):
                exchange(call, 1)
            world.client.gre.send(world.net.inside, 9999, lcp(2), 2)
            exchange(first, 3)
            wait_packets(place / "x.pcap", 13)
            packets, lost = tap_.interrupt()
        capture = Capture(place / "x.pcap")
        capture.check()
        stray = Packet(world.client.ip, world.net.inside, 9999, 2, 16)
        expected = packets_of(first, 1) + packets_of(later, 1) + [stray] + packets_of(first, 3)
        assert capture.packets() == expected, (capture.packets(), expected)
        assert [m.type for m in capture.messages()][:4] == [SCCRQ, SCCRQ, SCCRP, SCCRP]
        assert lost == 0 and packets == sum(1 for _ in capture.records())
        world.log.wait(rf"tap {world.clients[0].ip}: ends: {packets} packets, 0 lost")


def test_tap_to_standard_output():
    "--capture -: the stream is on standard output at once, and tshark reads it there"
    with World() as world:
        call = world.session().call(5, 7)
        with world.net.firewall:
            tapping = subprocess.Popen([program(), "--tap", "all", "--capture", "-"], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
        world.log.wait("tap all: begins", PATIENCE)
        with subprocess.Popen(["tshark", "-n", "-l", "-i", "-", "-T", "fields", "-e", "gre.key.call_id"], stdin=tapping.stdout,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as shark:
            exchange(call, 1)
            seen = [int(shark.stdout.readline()) for _ in range(4)]
            tapping.send_signal(signal.SIGTERM)
            assert tapping.wait(PATIENCE) == 0
            assert shark.wait(PATIENCE) == 0
        assert seen == [call.client_sees, call.server_id, call.server_sees, call.client_id]
        tapping.stdout.close()
        assert b"4 packets captured, 0 lost" in tapping.stderr.read()
        tapping.stderr.close()


def test_tap_rotates():
    "--capture-limit of a tap: FILE and FILE.1, whole and without a gap"
    with Directory() as place, World(debug=False) as world:
        call = world.session().call(5, 7)
        with Tap(world, "all", place / "x.pcap", "--capture-limit", "1") as tap_:
            seq = 0
            while not os.path.exists(place / "x.pcap.1"):
                seq += 1
                exchange(call, seq, 1400)
            wait_until(lambda: sum(packets_there(place / name) for name in ("x.pcap.1", "x.pcap")) == 4 * seq,
                       what=f"{4 * seq} packets in both files")
            packets, lost = tap_.interrupt()
        older, newer = Capture(place / "x.pcap.1"), Capture(place / "x.pcap")
        assert lost == 0 and packets == 4 * seq
        assert seqs(older, newer) == [number for number in range(1, seq + 1) for _ in range(2)]
        assert os.stat(older.path).st_size <= 1 << 20
        # The newer one alone begins in the midst of the call; both are one story, in any order.
        names = [place / "x.pcap", place / "x.pcap.1"]
        story, alone = (subprocess.run([program(), "--explain", *words], capture_output=True, text=True, check=True).stdout
                        for words in (names, names[:1]))
        assert story.startswith(f"{', '.join(map(str, names))}: {4 * seq} packets "), story
        assert re.search(rf"^ +10.1.0.10 sends +{seq:,} +[\d,]+ +0 +0 +0$", story, re.M), story
        assert not re.search(rf"^ +10.1.0.10 sends +{seq:,} ", alone, re.M), alone


def test_slow_reader():
    "a tap that is stopped loses packets and hears how many; calls go on, and so does a capture beside it"
    with Directory() as place, World(["--capture", place / "all.pcap"], debug=False) as world:
        call = world.session().call(5, 7)
        with Tap(world, "all", place / "x.pcap") as tap_:
            tap_.popen.send_signal(signal.SIGSTOP)
            size, seq = 60000, 0
            while seq < 100:  # each is four of 60 KB; a queue and a socket's buffer hold less
                seq += 1
                exchange(call, seq, size)
            tap_.popen.send_signal(signal.SIGCONT)
            packets, lost = tap_.interrupt()
        assert lost > 50 and packets + lost >= 399, (packets, lost)
        assert Capture(place / "x.pcap").whole()
        end(world)
        assert seqs(Capture(place / "all.pcap")) == [number for number in range(1, seq + 1) for _ in range(2)]


def test_tap_on_a_full_disk():
    "a tap whose disk is full says so, counts what is in the file only, and that it does not know what was lost"
    with Directory() as place, World() as world:
        call = world.session().call(5, 7)
        disk, kept = place / "disk", place / "kept"
        disk.mkdir()
        script = f'mount -t tmpfs -o size=64k lab {disk}; "$0" "$@"; status=$?; cp {disk}/x.pcap {kept}; exit $status'
        with world.net.firewall:
            popen = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, program(),
                                      "--tap", "all", "--capture", disk / "x.pcap"], stderr=subprocess.PIPE)
        world.log.wait("tap all: begins", PATIENCE)
        for seq in range(1, 101):
            exchange(call, seq, 1400)
        said = popen.communicate(timeout=PATIENCE)[1].decode()
        assert popen.returncode == 1, said
        found = re.fullmatch(rf"pptpproxy: {disk}/x.pcap: No space left on device\n"
                             r"pptpproxy: (\d+) packets captured, how many were lost is unknown\n", said)
        assert found, said
        packets = Capture(kept).packets()
        assert 0 < int(found[1]) == len(packets) < 64, (said, len(packets))


def test_bad_taps():
    "no such call, bad words, too many taps, no instance, another user: one line each, status 1, and no file touched"
    with Directory() as place, World() as world:
        place.path.chmod(0o777)
        session = world.session()
        session.call(5, 7)
        number = connection(world, session)

        def say(*words, before=()):
            done = world.net.firewall.run([*before, program(), *words], check=False)
            assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1, done
            return done.stderr

        file = ["--capture", place / "x.pcap"]
        assert f"{number}:6: no such call" in say("--tap", f"{number}:6", *file)
        session.server.send(build(ICRQ, call_id=8), build(ICRQ, call_id=9))
        for _ in range(2):
            session.client.expect(ICRQ)
        assert f"{number}:-: more than one call has no client ID yet: which one" in say("--tap", f"{number}:-", *file)
        assert ("tap nonsense: neither a call, as --show calls has it (12:49750), nor a client's address, nor all"
                in say("--tap", "nonsense", *file))
        assert "--tap all: it needs --capture FILE" in say("--tap", "all")
        assert "no instance at control socket @nobody" in say("--tap", "all", "--control", "@nobody", *file)
        assert "-p: it does not go with --tap" in say("--tap", "all", "-p", "10.2.0.10", *file)
        assert "--capture: it does not go with --show" in say("--show", "calls", *file)
        said = say("--tap", "all", *file, before="setpriv --reuid daemon --regid daemon --clear-groups".split())
        assert "not allowed: only root" in said, said
        # Whoever else is the worker's user sees figures, and no packets.
        status = Path(f"/proc/{world.proxy.worker}/status").read_text()
        uid = re.search(r"^Uid:\s+(\d+)", status, re.M)[1]
        said = say("--tap", "all", *file, before=["setpriv", f"--reuid={uid}", "--regid=54321", "--clear-groups"])
        assert "not allowed: only root and who started pptpproxy may tap" in said, said
        assert not os.listdir(place.path)
        with contextlib.ExitStack() as stack:
            taps = [stack.enter_context(Tap(world, "all", place / f"{i}.pcap")) for i in range(4)]
            assert "busy: there are 4 taps already" in say("--tap", "all", *file)
            taps[0].interrupt()
            world.log.wait("tap all: ends")
            stack.enter_context(Tap(world, "all", place / "x.pcap"))
        world.log.wait("tap all: ends", count=5)
        (place / "text").write_text("important\n")
        assert "no capture" in say("--tap", "all", "--capture", place / "text")


def test_tap_and_the_worker():
    "a tap ends with the worker, and says so, with what it has; another one can begin"
    with Directory() as place, World() as world:
        call = world.session().call(5, 7)
        with Tap(world, "all", place / "x.pcap") as tap_:
            exchange(call, 1)
            wait_packets(place / "x.pcap", 4)
            turmoil.kill(world.proxy).over()
            said = tap_.wait(1)
            assert said == ("pptpproxy: the instance has ended, or was replaced\n"
                            "pptpproxy: 4 packets captured, how many were lost is unknown\n"), said
        assert Capture(place / "x.pcap").packets() == packets_of(call, 1)
        with Tap(world, "all", place / "x.pcap") as tap_:
            exchange(call, 2)
            wait_packets(place / "x.pcap", 4)
            assert tap_.interrupt() == (4, 0)
        assert Capture(place / "x.pcap.1").packets() == packets_of(call, 1)


if __name__ == "__main__":
    tap.main()
