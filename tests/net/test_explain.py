#!/usr/bin/python3
"""--explain: captures of real peers, and of fakes that do what is wrong, told as what the test knows that it did."""

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import test_uml
from lab import tap, watch
from lab.capture import COOKED, ETHERNET, RAW_IP, Capture, pcap
from lab.fake import World
from lab.messages import CCRQ, CDN, OCRP, OCRQ, SCCRP, SCCRQ, build
from lab.netns import need
from lab.proc import wait_until
from lab.proxy import Proxy, program
from lab.real import Call, Pptpd
from lab.topo import DualHomed
from uml.guest import need_host

BLOCK = "table ip block {{\n\tchain way {{\n\t\ttype filter hook {hook} priority filter\n\t\t{rule} drop\n\t}}\n}}\n"
HEADERS = 20 + 12  # of IP, and of GRE with a sequence number
PPPD_LOG = r"pppd\[\d+\]: "


@contextmanager
def directory():
    with tempfile.TemporaryDirectory(prefix="pptpexplain-") as path:
        yield Path(path)


def run(*words, **options):
    return subprocess.run([program(), *map(str, words)], capture_output=True, text=True, timeout=60 * tap.slowdown(),
                          **options)


class Story:
    """What --explain says of a file. Lines may be broken anywhere: .text has one blank for each row of them."""

    def __init__(self, path, **options):
        done = run("--explain", path, **options)
        assert done.returncode == 0 and not done.stderr, f"status {done.returncode}: {done.stderr}"
        self.lines = done.stdout
        self.text = re.sub(r"\s+", " ", done.stdout)
        wide = [line for line in done.stdout.splitlines() if len(line) > 80]
        assert not wide, wide

    def expect(self, pattern):
        found = re.search(pattern, self.text)
        assert found, f"no '{pattern}' in\n{self.lines}"
        return found

    def findings(self, *patterns):
        """What looks wrong is just this, in any order."""
        rest = self.lines.partition("What looks wrong:\n")[2]
        found = [re.sub(r"\s+", " ", one) for one in re.split(r"^ *\d+\. ", rest, flags=re.M)[1:]]
        missing = [pattern for pattern in patterns if not any(re.search(pattern, one) for one in found)]
        assert not missing and len(found) == len(patterns), f"missing: {missing} of\n{self.lines}"
        if not patterns:
            self.expect("Nothing looks wrong.")

    def way(self, call, name):
        """(packets, octets, lost, late, twice) of what that end sends."""
        part = self.lines.partition(f"  Call {call}: ")[2]
        found = re.search(rf"^    {name} sends +([\d,]+) +([\d,]+) +(\d+) +(\d+) +(\d+)$", part, re.M)
        assert found, self.lines
        return tuple(int(number.replace(",", "")) for number in found.groups())


def both_sides(net):
    return (net.firewall, "inside"), (net.firewall, "outside")


def tshark(path, expression):
    """How many packets match."""
    done = subprocess.run(["tshark", "-n", "-r", path, "-Y", expression], capture_output=True, text=True, timeout=60)
    return len(done.stdout.splitlines())


# ---- real peers ----


def test_real_call():
    "a real call through the proxy, captured on both sides: two legs of one call, and nothing wrong"
    need()
    with DualHomed() as net, directory() as place, Capture(*both_sides(net)) as capture, Pptpd(net.server), \
            Proxy(net.firewall, ["-p", net.server.ip]) as proxy, Call(net.client, net.inside) as call:
        call.wait_up()
        call.ping(5)
        call.hang_up()
        proxy.log.wait("call ended")
        ids = re.search(r"client ID (\d+) \(server sees (\d+)\), server ID (\d+) \(client sees (\d+)\)",
                        proxy.log.text())
        frames = capture.frames()
        story = {link: None for link in (ETHERNET, RAW_IP, COOKED)}
        for link in story:
            path = place / f"{link}.pcap"
            strip = {RAW_IP: lambda f: f[14:], COOKED: lambda f: bytes(14) + f[12:]}.get(link, bytes)
            # ARP is no raw IP.
            path.write_bytes(pcap([(time, strip(frame)) for time, frame in frames if frame[12:14] == b"\x08\0"], link))
            story[link] = Story(path)
        texts = {one.text.split(" ", 1)[1] for one in story.values()}
        assert len(texts) == 1, texts
        one = story[ETHERNET]
        one.expect(r"2 control connections, 2 calls Control connection 1: client 10\.1\.0\.10:\d+, server 10\.1\.0\.1:1723")
        one.expect(r"Control connection 2: client 10\.2\.0\.1:\d+, server 10\.2\.0\.10:1723 another leg of")
        one.expect(r'client introduces itself: host "local", vendor "cananian"')
        one.expect(r'server replies, accepted: host "local", vendor "linux"')
        one.expect(rf"Call 1\.1: IDs: client {ids[1]}, server {ids[4]} the same call as 2\.1")
        one.expect(rf"Call 2\.1: IDs: client {ids[2]}, server {ids[3]} the same call as 1\.1")
        one.expect(rf"LCP up.* IPCP up: client is {re.escape(call.local)}, server is {re.escape(call.remote)}")
        one.expect("client terminates LCP")
        one.findings()
        # At least a request and an answer for each ping; both legs have the same.
        assert one.way("1.1", "client") == one.way("2.1", "client")
        assert one.way("1.1", "server") == one.way("2.1", "server")
        assert min(one.way("1.1", "client")[0], one.way("1.1", "server")[0]) >= 5
        if shutil.which("tshark"):
            path = place / f"{ETHERNET}.pcap"
            sent = tshark(path, "gre and ip.src == 10.1.0.10")
            assert one.way("1.1", "client")[0] == sent, (sent, one.lines)
            assert f"messages: {tshark(path, 'pptp and ip.src == 10.1.0.10')} of the client" in one.text


def count_gre(capture):
    return sum(frame[23:24] == b"\x2f" for _, frame in capture.frames())


@contextmanager
def blocked(hook, rule, gre=20):
    """A real call through the proxy whose GRE is dropped on the firewall by that rule; captured there."""
    need("nft")
    with DualHomed() as net, directory() as place, Capture(*both_sides(net)) as capture, Pptpd(net.server), \
            Proxy(net.firewall, ["-p", net.server.ip]) as proxy:
        net.firewall.run(["nft", "-f", "-"], input=BLOCK.format(hook=hook, rule=rule))
        with Call(net.client, net.inside) as call:
            # Those that get through, or come as far as the firewall: LCP is tried again and again.
            if gre:
                wait_until(lambda: count_gre(capture) >= gre, 40 * tap.slowdown(), "GRE")
            else:
                proxy.log.wait(r"no GRE from", 25 * tap.slowdown())
            call.kill()
            proxy.log.wait("call ended", 20 * tap.slowdown())
        yield capture, place / "file.pcap"


def only(device_net):
    """Frames of one of the firewall's two networks."""
    net = bytes(map(int, device_net.split(".")))
    return lambda frame: frame[12:14] == b"\x08\0" and frame[26:29] == net and frame[30:33] == net


def test_gre_of_the_client_is_blocked():
    "GRE of a client that never arrives is named as such, on the client's side"
    # The capture sees what the firewall's input drops, so it stands behind: as if it were the next router.
    with blocked("input", "iifname inside ip protocol gre") as (capture, path):
        capture.save(path, keep=lambda frame: not (frame[23:24] == b"\x2f" and frame[26:30] == b"\x0a\x01\0\x0a"))
        story = Story(path)
        story.findings(r"Call 1\.1: server sends GRE \(\d+ packets\), client never does: protocol 47 is blocked between "
                       r"10\.1\.0\.10 and 10\.1\.0\.1, on the client's side")
        assert story.way("1.1", "client")[0] == 0 and story.way("1.1", "server")[0] > 1


def test_gre_does_not_leave_the_firewall():
    "GRE that reaches a firewall and does not leave it is named as such, with the leg"
    with blocked("output", "oifname outside ip protocol gre") as (capture, path):
        capture.save(path)
        Story(path).findings(r"Call 2\.1: \d+ GRE packets of the client arrive on the other leg and none leaves here: "
                             r"what is between the legs, at 10\.2\.0\.1, does not carry them\.")


def test_gre_of_the_server_is_blocked():
    "captured on the client's network alone, GRE of a server that is dropped on the way is named as the server's"
    with blocked("output", "oifname inside ip protocol gre") as (capture, path):
        capture.save(path, keep=only("10.1.0"))
        Story(path).findings(r"Call 1\.1: client sends GRE \(\d+ packets\), server never does: protocol 47 is blocked "
                             r"between 10\.1\.0\.1 and 10\.1\.0\.10, on the server's side")


def test_gre_is_killed():
    "GRE of one direction that is cut while a call is up is named, with the leg and the moment"
    need("nft")
    with DualHomed() as net, directory() as place, Capture(*both_sides(net)) as capture, Pptpd(net.server), \
            Proxy(net.firewall, ["-p", net.server.ip]), Call(net.client, net.inside) as call:
        call.wait_up()
        call.ping(2)
        begun, before = (capture.frames()[at][0] for at in (0, -1))
        net.firewall.run(["nft", "-f", "-"], input=BLOCK.format(hook="output", rule="oifname outside ip protocol gre"))
        cut = capture.frames()[-1][0]
        # LCP echoes go on.
        late = lambda: sum(time > cut + 6 and frame[23:24] == b"\x2f" for time, frame in capture.frames())
        wait_until(lambda: late() >= 4, 30 * tap.slowdown(), "GRE after the cut")
        story = Story(capture.save(place / "file.pcap"))
        found = story.expect(r"Call 2\.1: GRE of the client goes on arriving on the other leg until ([\d.]+) s, and leaves "
                             r"here until ([\d.]+) s only: what is between the legs, at 10\.2\.0\.1, does not carry it any")
        assert float(found[1]) > float(found[2]) + 5 and before - 3 < begun + float(found[2]) < cut + 1, found[0]


def test_gre_is_not_captured():
    "a capture of TCP alone says that it has no protocol 47 at all"
    with blocked("input", "ip protocol gre", 0) as (capture, path):
        capture.save(path, keep=lambda frame: frame[23:24] == b"\x06")
        Story(path).findings(r"Call 1\.1: neither client nor server sends GRE: the capture has no protocol 47 at all")


def test_wrong_password():
    "real pppds, MS-CHAPv2 and MPPE: the milestones of a good call, and a refused name as such"
    need_host("pppd", "pptp", "pptpd")
    with test_uml.Net(forward=True) as net, directory() as place, ExitStack() as stack:
        client, server = net.boot(stack, net.server_ip)
        test_uml.take_calls(server)
        with Capture((net.firewall, "inside")) as capture:
            test_uml.dial(client, server)
            test_uml.ping(client, test_uml.SERVER_PPP, 56)
            test_uml.hang_up(client, server)
            story = Story(capture.save(place / "good.pcap"))
            story.expect(r'LCP up.*server wants MS-CHAPv2 .* MS-CHAPv2: server asks, as "pptpd" .* MS-CHAPv2: client '
                         r'answers, as "alice" .* MS-CHAPv2: server good, it knows "alice" .* CCP up: MPPE 128 bits, '
                         r"stateless .* IPCP up: client is 10\.9\.0\.1, server is 10\.8\.0\.1")
            story.expect(r"in them: 0 packets of the network in the clear, ([1-9]\d*) encrypted")
            story.findings()
        with Capture((net.firewall, "inside")) as capture:
            client.check(["sh", "-c", "echo 'alice pptpd \"open barley\" *' >/etc/ppp/chap-secrets"])
            mark = client.log.mark()
            client.check(["pppd", "call", "work"])
            client.log.wait(PPPD_LOG + "Exit", 40, after=mark)
            story = Story(capture.save(place / "bad.pcap"))
            story.expect(r'MS-CHAPv2: server refuses "alice": "E=691 R=[01] [^"]*" \(name or password is wrong\)')
            story.findings(r'Call 1\.1: MS-CHAPv2 fails: the server refuses "alice"')
            assert "barley" not in story.text


# ---- fake peers: what is wrong is known to the packet ----


@contextmanager
def world(**options):
    with World(**options) as world, directory() as place:
        with Capture(*both_sides(world.net)) as world.capture:
            world.path = place / "file.pcap"
            world.story = lambda **save: Story(world.capture.save(world.path, **save))
            yield world


def test_losses():
    "losses, packets that come late and packets that come twice are counted each way, and where they happened"
    with world() as w:
        session = w.session()
        call = session.call(5, 7)
        numbers = [n for n in range(1, 401) if n % 20 != 7]  # 20 lost of 400
        for n in numbers:
            call.up(b"%d" % n, seq=n)
        order = [n + (1 if n % 10 == 0 else -1 if n % 10 == 1 else 0) for n in range(2, 200)]  # 19 pairs are swapped
        for n in order + [150, 151]:
            call.down(b"%d" % n, seq=n)
        call.expect_up(b"1", seq=1)
        w.server.gre.until(b"%d" % numbers[-1])
        for _ in range(2):  # the second is the last of all
            w.client.gre.until(b"151")
        story = w.story()
        assert story.way("1.1", "client") == (380, sum(HEADERS + len(b"%d" % n) for n in numbers), 20, 0, 0)
        assert story.way("2.1", "server")[2:] == (0, 19, 2), story.lines
        story.findings(r"Call 1\.1: 20 of 400 packets from client to server are lost \(5\.0 %\) before they get here",
                       r"Call 2\.1: 19 of 198 packets from server to client overtake one another")


def test_fragments():
    "packets in fragments are put together, and told"
    with world() as w:
        call = w.session().call(5, 7)
        for n in range(1, 4):
            call.up(bytes(3000), seq=n)
            call.expect_up(bytes(3000))
        call.down(b"small")
        call.expect_down(b"small")
        story = w.story()
        assert story.way("1.1", "client") == (3, 3 * HEADERS + 9000, 0, 0, 0), story.way("1.1", "client")
        story.findings(*[rf"Call {leg}\.1: 3 packets from client to server come in fragments" for leg in (1, 2)])


def test_refusals():
    "a refused connection, a refused call, and a wrong call ID are told in words"
    with world() as w:
        refused = w.dial()
        refused.send(build(SCCRQ))
        other = w.server.accept()
        other.expect(SCCRQ)
        other.send(build(SCCRP, result=4, error=0))
        refused.expect(SCCRP)
        refused.close()
        session = w.session()
        session.client.send(build(OCRQ, call_id=5))
        sees = session.server.expect(OCRQ).call_id
        session.server.send(build(OCRP, call_id=0, peer_id=sees, result=4, error=0))
        session.client.expect(OCRP)
        call = session.call(6, 8)
        call.down(b"one")
        call.down(b"two", seq=2)
        w.client.gre.send(session.client.remote[0], 4711, b"lost", 1, source=session.client.local[0])
        call.down(b"three", seq=3)
        call.expect_down(b"one")
        w.client.gre.until(b"three")
        story = w.story()
        story.expect(r"server replies, not authorized: host")
        story.expect(r"Call \d\.1: .* server refuses the call: busy")
        story.findings(r"Control connection 1: the server 10\.1\.0\.1 refuses it: not authorized\.",
                       r"Call 3\.1: the server refuses it: busy",
                       r"Call 3\.2: client sends GRE with the wrong call ID: 4711, which nobody assigned")


def test_end_of_a_call():
    "who ended a call, and why, is told in words"
    with world() as w:
        session = w.session()
        call = session.call(5, 7)
        call.check()
        session.client.send(build(CCRQ, call_id=5))
        session.server.expect(CCRQ)
        session.server.send(build(CDN, call_id=7, result=1, error=0))
        session.client.expect(CDN)
        second = session.call(6, 8)
        second.check()
        session.server.send(build(CDN, call_id=8, result=3, error=0))
        session.client.expect(CDN)
        session.client.reset()
        session.server.expect_end()
        story = w.story()
        story.expect(r"Call 1\.1: .* client hangs up .* server ends it: lost carrier .* ended: client hangs up")
        story.expect(r"Call 1\.2: .* ended: server ends it: shut down by its administrator")
        story.expect(r"client resets the connection \(RST\)")
        story.findings()


def test_from_the_middle():
    "a capture that begins in the middle of a call says so, and lists its packets by ID"
    with world() as w:
        session = w.session()
        call = session.call(5, 7)
        w.capture.forget()
        call.check()
        story = w.story(keep=lambda frame: frame[23:24] == b"\x2f")  # TCP may acknowledge late what was said before
        story.expect(rf"Stray call 1: IDs: .* {call.client_sees} of 10\.1\.0\.1")
        story.expect(r"its control connection is not in the capture: it began before that")
        story.findings()


# ---- the file ----


def test_bad_files():
    "a file that cannot be read is named in one line, with status 1"
    need()
    with directory() as place:
        (place / "text").write_text("no capture\n" * 10)
        (place / "empty").write_bytes(b"")
        (place / "wifi").write_bytes(pcap([], 105))
        cases = {
            "none": "No such file or directory",
            "text": "it is no capture: unknown file format",
            "empty": "it is no capture: .*",
            "wifi": r"frames of link type 105 \(IEEE802_11\) are not known",
            ".": "it is no capture: .*",
        }
        for name, why in cases.items():
            done = run("--explain", name, cwd=place)
            assert done.returncode == 1 and not done.stdout, (name, done.stdout)
            assert re.fullmatch(rf"pptpproxy: cannot explain {re.escape(name)}: {why}\n", done.stderr), done.stderr
        done = run("--explain", "x", "-p", "192.0.2.1")
        assert done.returncode == 1 and done.stderr == "pptpproxy: --explain: -p cannot stand beside it\n", done.stderr


def test_cut_short():
    "a file that was cut short is told up to there, and that it was; so is one from standard input"
    with world() as w:
        w.session().call(5, 7).check()
        whole = w.story()
        whole.findings()
        octets = w.path.read_bytes()
        w.path.write_bytes(octets[:-3])
        story = Story(w.path)
        story.expect("The file is cut short, this is the story up to there: truncated dump file")
        story.expect("Call 1.1: IDs: client 5")
        with open(w.path, "rb") as file:
            piped = Story("-", stdin=file)
        assert piped.text.split(" ", 2)[2] == story.text.split(" ", 1)[1], piped.text


def test_no_rights():
    "it needs no rights: another user reads a capture in an empty network namespace"
    need("setpriv")
    with world() as w:
        w.session().call(5, 7).check()
        w.capture.save(w.path)
        os.chmod(w.path.parent, 0o755)
        done = subprocess.run(["unshare", "-n", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                               "--no-new-privs", "--bounding-set=-all", program(), "--explain", "/dev/stdin"], stdin=open(w.path, "rb"),
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "Call 1.1" in done.stdout, done


def test_progress():
    "on a terminal it says how far it is while that takes long; elsewhere nothing"
    need()
    with directory() as place:
        # A pipe that is filled while somebody watches: slow enough by nature.
        os.mkfifo(place / "pipe")
        frame = bytes(12) + b"\x08\x06" + bytes(1000)
        begin, more = pcap([]), pcap([(1, frame)] * 4096)[24:]
        master, slave = pty.openpty()
        process = subprocess.Popen([program(), "--explain", place / "pipe"], stdout=subprocess.PIPE, stderr=slave)
        os.close(slave)
        said = b""
        with open(place / "pipe", "wb") as pipe:
            os.set_blocking(master, False)
            pipe.write(begin)

            def look():
                nonlocal said
                pipe.write(more)
                try:
                    said += os.read(master, 65536)
                except (BlockingIOError, OSError):
                    pass
                return re.search(rb"pptpproxy: \d+ MiB read", said)

            wait_until(look, 20 * tap.slowdown(), "progress")
        text = process.stdout.read().decode()
        assert process.wait(20) == 0
        os.set_blocking(master, False)
        try:
            said += os.read(master, 65536)
        except OSError:
            pass
        os.close(master)
        assert text.startswith(f"{place}/pipe: ") and "There is no PPTP in this capture." in text, text
        # The line is taken away again.
        assert re.search(rb"\r +\r$", said), said


def test_memory():
    "a capture that is made to need memory needs little"
    need()
    ip = lambda protocol, source, payload: (bytes(12) + b"\x08\0" + b"\x45\0" + (20 + len(payload)).to_bytes(2, "big")
                                            + bytes(5) + bytes([protocol]) + bytes(2) + source.to_bytes(4, "big")
                                            + b"\x0a\0\0\1" + payload)
    syn = lambda n: ip(6, n, n.to_bytes(4, "big")[2:] + b"\x06\xbb" + bytes(8) + b"\x50\x02" + bytes(6))
    gre = lambda n: ip(47, n, b"\x20\x01\x88\x0b\0\0\0\5")
    with directory() as place:
        # Piece by piece: what a process is told to have used at most begins with what its parent had.
        with open(place / "many", "wb") as file:
            file.write(pcap([]))
            for n in range(100000):
                file.write(pcap([(1, syn(n)), (1, gre(n))])[24:])
        with open(place / "out", "w") as out:
            process = subprocess.Popen([program(), "--explain", place / "many"], stdout=out)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        story = re.sub(r"\s+", " ", (place / "out").read_text())
        assert status == 0 and "20000 control connections" in story, story[:2000]
        assert "more connections or calls than can be told: 179000 packets" in story, story[-2000:]
        tap.comment(f"{usage.ru_maxrss} KiB")
        assert usage.ru_maxrss * 1024 < watch.bound(60 << 20), usage


if __name__ == "__main__":
    tap.main()
