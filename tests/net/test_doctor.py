#!/usr/bin/python3
"""--doctor: each finding provoked, its command run, and the finding gone; --doctor-call: which way GRE does not go."""

import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap
from lab.dns import Dns, Etc
from lab.doctor import Examination, examine
from lab.errors import Skip
from lab.fake import FakeServer, World
from lab.messages import (CCRQ, CDN, ECHO_RP, ECHO_RQ, OCRP, OCRQ, SCCRP, SCCRQ, STOP_RP, STOP_RQ, WEN, build)
from lab.netns import RUN_PREFIX, ip, need, private_mounts
from lab.proc import Proc, wait_until
from lab.proxy import ROOT, Proxy, program
from lab.real import Pptpd
from lab.topo import DualHomed, TwoFirewalls

# For what waits in vain; the rest has the usual 10 s.
SOON = ["--connect-timeout", str(int(3 * tap.slowdown()))]
LCP_REQUEST = bytes.fromhex("ff03c02101010004")


@contextmanager
def host():
    """A firewall in front of a real server."""
    with DualHomed() as net, Pptpd(net.server):
        yield net.firewall, ["-p", net.server.ip]


@contextmanager
def fake():
    """The same with a server that does what it is told: (firewall, words, FakeServer)."""
    with DualHomed() as net, closing(FakeServer(net.server)) as server:
        yield net.firewall, ["-p", net.server.ip], server


class Files:
    """A private mount namespace, in which /etc is a copy."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
        shutil.copytree("/etc", self.directory / "etc", symlinks=True, ignore_dangling_symlinks=True)

    def enter(self):
        private_mounts({"/etc": self.directory / "etc"})

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def nft(ns, *rules, hook="input", policy="accept"):
    text = "\n\t\t".join(rules)
    ns.run(["nft", "-f", "-"], input=f"table inet filter {{\n\tchain {hook} {{\n\t\ttype filter hook {hook} priority 0; "
                                     f"policy {policy};\n\t\t{text}\n\t}}\n}}\n")


def socket_of(ns, port):
    """A socket of ours that listens there."""
    with ns:
        return socket.create_server(("", port))


# ---- all is well ----


def test_healthy_host():
    "a host that is well, in front of a real server: nothing is wrong, and the server says who it is"
    with host() as (firewall, words):
        report = examine(firewall, words).good()
        report.one("ok", r"^0\.0\.0\.0:1723: free$")
        report.one("ok", r"^10\.2\.0\.10: from 10\.2\.0\.1 by outside, MTU 1500$")
        report.one("ok", r"connected in [\d.]+ ms")
        report.one("ok", r"PPTP 1\.0, host '.*', vendor 'linux', firmware 1,")
        report.one("ok", r"Echo-Reply in [\d.]+ ms")
        report.one("ok", r"^lets calls pass$")
        assert not report.all("ok", "GRE goes"), "a call was made"


def test_healthy_call():
    "a call to a real server, up to its first LCP packet: GRE goes both ways; nothing of it is left"
    with DualHomed() as net, Pptpd(net.server) as pptpd:
        report = examine(net.firewall, ["-p", net.server.ip], call=True).good()
        report.one("ok", r"GRE goes both ways: the first packet after [\d.]+ ms, ours answered after [\d.]+ ms")
        wait_until(lambda: not pptpd.children(), 15, "the call's processes at the server to end")


def test_chain():
    "a server behind another proxy is asked by way of that"
    with TwoFirewalls() as net, Pptpd(net.server), Proxy(net.fw2, ["-p", net.server.ip]):
        report = examine(net.fw1, ["-p", net.fw2_outside], call=True).good()
        report.one("ok", "vendor 'linux'")
        report.one("ok", "GRE goes both ways")


def test_beside_an_instance():
    "a running instance is told of and left alone: its port and its sockets are no fault, and its calls go on"
    with World(["--stats", "127.0.0.1:8723"]) as world:
        session = world.session()
        call = session.call(5, 7)
        started = Examination(world.net.firewall, ["-p", world.server.ip, "--stats", "127.0.0.1:8723"])
        answer(world.server)
        report = started.report().good()
        found = report.one("note", rf"an instance runs already, pid {world.proxy.pid} \(control socket @pptpproxy\)")
        found.mend = found.mend.replace("pptpproxy", str(program()), 1)
        found.run(world.net.firewall)
        report.one("ok", rf"0\.0\.0\.0:1723: taken by the running instance \(pid {world.proxy.pid}\)")
        report.one("ok", rf"status page, 127\.0\.0\.1:8723: taken by the running instance \(pid {world.proxy.pid}\)")
        report.none("takes GRE packets.*pptpproxy")
        call.check()
        session.check()


def test_without_a_pair():
    "without a pair the host alone is looked at"
    with DualHomed() as net:
        examine(net.firewall, []).good().one("note", "no pair was given")


def test_reads_what_a_start_would():
    "options and file are read as a start reads them: a bad word is one line; the file's pairs are looked at"
    with DualHomed() as net, tempfile.NamedTemporaryFile("w", prefix=RUN_PREFIX) as conf:
        done = net.firewall.run([program(), "--doctor", "-p", "10.2.0.10:0"], check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(r"pptpproxy: -p 10\.2\.0\.10:0: .*\n", done.stderr), done.stderr
        conf.write("proxy 10.1.0.1:99,10.2.0.10\nconnect-timeout 1\nuser nobody\n")
        conf.flush()
        report = examine(net.firewall, ["-c", conf.name])
        report.one("ok", r"10\.1\.0\.1:99: free")
        report.only("error", r"10\.2\.0\.10:1723: connection refused")


# ---- rights ----


def test_without_the_right_to_raw_sockets():
    "root without CAP_NET_RAW, as in a container: named, and no call is tried"
    need("setpriv")
    with host() as (firewall, words):
        report = examine(firewall, words, call=True, before=["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-all"])
        found = report.only("error", r"raw GRE socket: Operation not permitted \(it needs root or CAP_NET_RAW\)")
        assert "--cap-add NET_RAW" in found.mend
        report.one("ok", "Echo-Reply")
        assert report.one("note", "no call is made").mend == found.mend


def test_without_root():
    "another user learns what he lacks, what could not be looked at, and the rest"
    need("setpriv")
    with host() as (firewall, words), tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as place:
        os.chmod(place, 0o755)
        copy = shutil.copy(program(), place)
        process = Proc(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", copy, "--doctor", *words],
                       ns=firewall)
        assert process.wait(30) == 1
        said = process.text()
        assert "error    packets cannot come and go: raw GRE socket: Operation not permitted" in said, said
        assert "mend: sudo pptpproxy --doctor" in said
        assert "firewall rules could not be looked at: it needs root" in said
        assert "Echo-Reply in" in said and "1 thing is wrong" in said
        other = socket_of(firewall, 1723)
        process = Proc(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", copy, "--doctor", *words,
                        "-p", "10.1.0.1:99,10.2.0.10"], ns=firewall)
        assert process.wait(30) == 1
        said = process.text()
        assert "error    10.1.0.1:99: ports below 1024 are not for this user" in said, said
        assert "error    0.0.0.0:1723: taken by another program" in said, said
        other.close()


def test_rights_are_given_up_before_a_server_is_read():
    "while a server is asked the process is not root any more"
    with fake() as (firewall, words, server):
        started = Examination(firewall, words)
        stream = server.accept()
        stream.expect(SCCRQ)
        status = Path(f"/proc/{started.proc.pid}/status").read_text()
        assert re.search(r"^Uid:\t(\d+)\t\1\t\1\t\1$", status, re.M)[1] != "0"
        assert re.search(r"^CapEff:\t0+$", status, re.M), status
        stream.close()
        started.report()


def test_user():
    "a --user that there is not; useradd makes him"
    need("useradd")
    with host() as (firewall, words), closing(Files()) as files:
        words += ["--user", "vpn-worker"]
        examine(firewall, words, room=files).only("error", "the worker's user: .*no such user").run(firewall, room=files)
        examine(firewall, words, room=files).good().one("ok", "the worker's user: vpn-worker")


def test_nobody():
    "the default user is nobody where there is no other; useradd makes one"
    need("useradd")
    with host() as (firewall, words), closing(Files()) as files:
        Proc(["sh", "-c", "! id pptpproxy 2>/dev/null || userdel pptpproxy"], room=files).wait()
        examine(firewall, words, room=files).good().one("note", "user is nobody").run(firewall, room=files)
        examine(firewall, words, room=files).good().none("nobody")


def test_files():
    "a log file, a pid file or a control socket in a directory that there is not; install -d makes it"
    with host() as (firewall, words), tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as place:
        place += "/it's $HOME"
        for option, what in (("-l", "log file"), ("--pid-file", "pid file"), ("--control", "control socket")):
            words += [option, f"{place}/{what}/x".replace(" ", "-")]
            found = examine(firewall, words).only("error", rf"{what} .* cannot be written: No such file")
            found.run(firewall)
            examine(firewall, words).good().one("ok", rf"{what} .* can be written")
        assert not [name for name in Path(place).glob("*/*")], "the doctor left a file"


def test_file_is_a_directory():
    "where a directory is in a file's place nothing is made: what is there is shown"
    with host() as (firewall, words), tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as place:
        os.mkdir(place + "/pid")
        found = examine(firewall, [*words, "--pid-file", place + "/pid"]).only("error", "pid file .* cannot be written: Is a directory")
        assert found.mend == f"ls -la {place}", found.mend


def test_capture():
    "a capture in a directory that there is not; install -d makes it; what is no capture there is shown"
    with host() as (firewall, words), tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as place:
        words += ["--capture", f"{place}/none/x.pcap"]
        examine(firewall, words).only("error", r"the capture cannot begin: capture file .*x\.pcap: No such file").run(firewall)
        examine(firewall, words).good().one("ok", r"capture file .*x\.pcap can be made")
        assert not list(Path(place).glob("*/*")), "the doctor left a file"
        with Proxy(firewall, [*words, "--control", "@another"]):
            examine(firewall, words).one("error", r"the capture cannot begin: .*x\.pcap: ")
            examine(firewall, [*words, "--control", "@another"]).good()
        Path(place, "none/x.pcap.1").write_text("precious notes\n")
        examine(firewall, words).only("error", r"x\.pcap\.1: it is there, and no capture").run(firewall)


def test_descriptors():
    "fewer descriptors than --max-connections needs; ulimit"
    with host() as (firewall, words):
        words += ["--max-connections", "1000"]
        limited = ["sh", "-c", 'ulimit -n 200; exec "$@"', "sh"]
        found = examine(firewall, words, before=limited).only("warning", "descriptors for 67 connections only")
        enough = ["sh", "-c", f'{found.mend}; exec "$@"', "sh"]
        examine(firewall, words, before=enough).good().one("ok", "descriptors for 1000 connections")


def test_receive_buffer():
    "a receive buffer below what is wanted is noted, with the system's setting"
    need("setpriv")
    with open("/proc/sys/net/core/rmem_max") as setting:
        if int(setting.read()) >= 4 << 20:
            raise Skip("the system's limit is large enough")
    with host() as (firewall, words):
        examine(firewall, words).good().none("receive buffer")
        report = examine(firewall, words, before=["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-all"])
        assert report.one("note", r"the GRE receive buffer is \d+ octets, 4194304 are wanted").mend == (
            "sysctl -w net.core.rmem_max=4194304")


# ---- addresses ----


def test_port_taken():
    "a port that another program has, which is named; kill"
    with host() as (firewall, words):
        other = Proc([sys.executable, "-c", "import socket; s=socket.create_server(('', 1723)); print('there', flush=1); s.accept()"],
                     ns=firewall, name="other")
        other.wait_line("there")
        found = examine(firewall, words).only("error", rf"0\.0\.0\.0:1723: taken by python3\S* \(pid {other.pid}\)")
        found.run(firewall)
        other.wait()
        examine(firewall, words).good()


def test_foreign_listen_address():
    "a listen address that the host has not; ip address add"
    with host() as (firewall, _):
        words = ["-p", "192.0.2.77,10.2.0.10"]
        examine(firewall, words).only("error", r"192\.0\.2\.77:1723: no address of this host").run(firewall)
        examine(firewall, words).good()


def test_status_page():
    "a status page whose port another program has, or whose address the host has not, with and without a pair"
    with host() as (firewall, words):
        words += ["--stats", "127.0.0.1:8723"]
        other = socket_of(firewall, 8723)
        examine(firewall, words).only("error", rf"status page, 127\.0\.0\.1:8723: taken by .* \(pid {os.getpid()}\)")
        examine(firewall, words[2:]).only("error", r"status page, 127\.0\.0\.1:8723: taken by")
        other.close()
        examine(firewall, words).good().one("ok", r"status page, 127\.0\.0\.1:8723: free")
        words[-1] = "192.0.2.77:8723"
        examine(firewall, words).only("error", r"status page, 192\.0\.2\.77:8723: no address of this host").run(firewall)
        examine(firewall, words).good()


def test_pairs_among_each_other():
    "a pair whose place another has; a pair that dials itself"
    with host() as (firewall, words):
        report = examine(firewall, [*words, "-p", "10.1.0.1,10.2.0.10"])
        report.only("warning", r"^pair 10\.1\.0\.1:1723,10\.2\.0\.10:1723 ignored: its listen address conflicts with that "
                    r"of an earlier pair, 0\.0\.0\.0:1723$").run(firewall)
        assert len(report.all("ok", "connected in")) == 1, "a server is called once for each pair"
        report.one("ok", r"^10\.2\.0\.10: from")
        examine(firewall, ["-p", "127.0.0.1", *SOON]).one("error", "a circle of pairs: ")


def test_names():
    "names that do not resolve, of a listen address and of a server; each is found once it has an address"
    with host() as (firewall, _), Dns(firewall, {}) as dns, Etc() as etc:
        words = ["-p", "here.example.test,vpn.example.test"]
        report = examine(firewall, words, room=etc)
        report.one("error", r"listen address 'here\.example\.test' does not resolve: ")
        assert report.one("error", r"peer 'vpn\.example\.test' does not resolve: ").mend == "getent ahostsv4 vpn.example.test"
        dns.names.update({"here.example.test": ["10.1.0.1"], "vpn.example.test": ["10.2.0.10", "10.2.0.11"]})
        report = examine(firewall, [*words, *SOON], room=etc)
        report.one("ok", r"vpn\.example\.test is 10\.2\.0\.10 and others")
        report.one("ok", r"10\.2\.0\.10:1723: connected")
        report.only("error", r"10\.2\.0\.11:1723: cannot be reached|10\.2\.0\.11:1723: no answer")


def test_route():
    "no route to the server: it is not called; with a route it is"
    with host() as (firewall, _):
        words = ["-p", "198.51.100.7", *SOON]
        report = examine(firewall, words)
        assert report.only("error", r"198\.51\.100\.7: no route: Network is unreachable").mend == "ip route get 198.51.100.7"
        firewall.route("198.51.100.0/24", "10.2.0.10")
        examine(firewall, words).none("no route")


def test_mtu():
    "a small MTU is noted"
    with host() as (firewall, words):
        firewall.mtu("outside", 1400)
        found = examine(firewall, words).good().one("note", "10.2.0.10: MTU 1400 on the way")
        assert found.mend == "on the server: echo mtu 1360 >>/etc/ppp/pptpd-options"


# ---- the kernel ----


def test_source_filter():
    "rp_filter on interfaces with a default route each; sysctl"
    with host() as (firewall, words):
        for words_of_ip in ("down", "name out.7", "up"):  # a name as a VLAN has it
            ip("-n", firewall.name, "link", "set", "out.7" if words_of_ip == "up" else "outside", *words_of_ip.split())
        for name, value in (("all", 0), ("inside", 0), ("out/7", 1)):
            firewall.run(["sysctl", "-w", f"net.ipv4.conf.{name}.rp_filter={value}"])
        firewall.route("default", "10.2.0.10")
        examine(firewall, words).good().none("rp_filter")
        ip("-n", firewall.name, "route", "add", "default", "via", "10.1.0.10", "metric", "5")
        examine(firewall, words).only("warning", r"out\.7 drops what comes by another way").run(firewall)
        examine(firewall, words).good()


class Setting:
    """A mount namespace in which connection tracking has one setting more, as older kernels have it."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
        (self.directory / "nf_conntrack_helper").write_text("1\n")

    def enter(self):
        private_mounts({"/proc/sys/net/netfilter": self.directory})

    def close(self):
        shutil.rmtree(self.directory)


def test_helper_for_all():
    "an older kernel's setting that gives each connection to the helper; sysctl"
    if not os.path.isdir("/proc/sys/net/netfilter"):
        raise Skip("the kernel has no netfilter")
    with host() as (firewall, words), closing(Setting()) as setting:
        found = examine(firewall, words, room=setting).only("warning", "gives each connection to port 1723 to its PPTP helper")
        found.run(firewall, room=setting)
        examine(firewall, words, room=setting).good()


def test_other_gre_socket():
    "another program that takes protocol 47 is noted; kill"
    with host() as (firewall, words):
        other = Proc([sys.executable, "-c",
                      "import socket; s=socket.socket(2, 3, 47); print('there', flush=1); s.recv(1)"], ns=firewall)
        other.wait_line("there")
        found = examine(firewall, words).good().one("note", rf"\(pid {other.pid}\) takes GRE packets of this host as well")
        found.run(firewall)
        other.wait()
        examine(firewall, words).good().none("takes GRE")


def test_fastpath():
    "the fast path is looked at, and nothing is attached"
    with host() as (firewall, words):
        report = examine(firewall, words).good()
        if report.all("ok", "built without it"):
            raise Skip("built without it")
        report.one("ok", r"fast path: off; --fastpath auto would have it \((inside|outside): ")
        examine(firewall, [*words, "--fastpath", "generic"]).good().one("ok", r"fast path: can be had \(")
        found = examine(firewall, [*words, "--fastpath", "generic", "--fastpath-interface", "none"])
        found = found.only("error", "the fast path that is asked for is not to be had: .*none: No such device")
        assert found.mend == "pptpproxy --doctor --fastpath auto -p 10.2.0.10:1723", found.mend
        assert "xdp" not in ip("-n", firewall.name, "link")


# ---- the host's firewall ----


def mend_all(ns, words, expected, **options):
    """The findings of the firewall, whose commands are run; afterwards a call passes."""
    wrong = [found for found in examine(ns, [*words, *SOON], **options).all("error") if "chain" in found.text]
    assert [found for found in wrong if not re.search(expected, found.text)] == [], wrong
    assert wrong, "nothing was found"
    for found in wrong:
        found.run(ns)
    examine(ns, words, call=True).good().one("ok", "GRE goes both ways")
    return wrong


def test_nft_closed_input():
    "nft: a chain that lets nothing in; three commands let calls pass"
    need("nft")
    with host() as (firewall, words):
        nft(firewall, "iifname lo accept", policy="drop")
        found = mend_all(firewall, words, "nft table inet filter, chain input: drops")
        assert len(found) == 3, found


def test_nft_closed_output():
    "nft: a chain that lets nothing out"
    need("nft")
    with host() as (firewall, words):
        nft(firewall, "oifname lo accept", hook="output", policy="drop")
        mend_all(firewall, words, "nft table inet filter, chain output: drops (TCP connections to 10.2.0.10|what goes|GRE)")


def test_nft_rules():
    "nft: a rule against protocol 47, in each direction; a rule against clients"
    need("nft")
    for hook, rule, what in (("input", "ip protocol gre drop", r"GRE \(protocol 47\) from clients"),
                             ("output", "meta l4proto gre reject", r"GRE \(protocol 47\) to clients"),
                             ("prerouting", "tcp dport { 22, 1723 } counter drop", "TCP connections of clients to port 1723")):
        with host() as (firewall, words):
            nft(firewall, rule, hook=hook)
            # What comes by such a rule of connections that are up is the same rule's business.
            mend_all(firewall, words, rf"nft table inet filter, chain {hook}: drops ({what}|what comes by TCP)")


def test_nft_rule_about_the_server():
    "nft: protocol 47 from the server alone is dropped here: the rule is found, and the call shows what it does"
    need("nft")
    with host() as (firewall, words):
        nft(firewall, "ip saddr 10.2.0.10 ip protocol gre counter drop", hook="prerouting")
        report = examine(firewall, [*words, *SOON], call=True)
        found = report.one("error", r"chain prerouting: drops GRE \(protocol 47\) from 10\.2\.0\.10: ip saddr 10\.2\.0\.10")
        report.one("note", "no call gets through, as this host's firewall drops GRE, see above")
        assert report.only("error", "") == found
        found.run(firewall)
        examine(firewall, words, call=True).good()


def test_server_lets_no_gre_out():
    "a server whose own firewall lets no protocol 47 out ends the call, and that it may be this is said"
    need("nft")
    with DualHomed() as net, Pptpd(net.server):
        nft(net.server, "ip protocol gre drop", hook="output")
        found = examine(net.firewall, ["-p", net.server.ip, *SOON], call=True).only(
            "error", "before a packet comes|no GRE comes from it")
        assert "protocol 47" in found.text + found.why


def test_nft_redirection():
    "nft: clients' connections are sent elsewhere; nft delete"
    need("nft")
    with host() as (firewall, words):
        firewall.run(["nft", "-f", "-"], input="table ip nat {\n\tchain pre {\n\t\ttype nat hook prerouting priority dstnat;\n"
                                               "\t\ttcp dport 1723 dnat to 10.2.0.10\n\t}\n}\n")
        found = examine(firewall, words).only("error", "nft table ip nat, chain pre: sends elsewhere TCP connections of clients")
        found.run(firewall)
        examine(firewall, words).good()
        firewall.run(["nft", "-f", "-"], input="table ip nat {\n\tchain vpn {\n\t\ttcp dport 1723 redirect to :99\n\t}\n"
                                               "\tchain pre {\n\t\tjump vpn\n\t}\n}\n")
        examine(firewall, words).only("error", "sends elsewhere TCP connections of clients").run(firewall)
        examine(firewall, words).good()


def test_rules_that_are_not_understood():
    "nft: a rule that may drop is a note, no fault"
    need("nft")
    with host() as (firewall, words):
        nft(firewall, "limit rate over 1000/second drop")
        for found in examine(firewall, words).good().all("note", "may drop .*limit rate over 1000/second"):
            assert found.mend == "nft -a list chain inet filter input"
            found.run(firewall)
            break
        else:
            raise AssertionError("it is not noted")


def test_tracked_packets():
    "nft, iptables: connection tracking of GRE is noted; a command keeps it away"
    need("nft")
    with host() as (firewall, words):
        nft(firewall, "ct state invalid drop")
        examine(firewall, words).good().one("note", "connection tracking follows GRE packets").run(firewall)
        examine(firewall, words, call=True).good().none("tracking")
    need("iptables-legacy", "iptables-legacy-save")
    with host() as (firewall, words):
        firewall.run("iptables-legacy -A INPUT -m conntrack --ctstate INVALID -j DROP".split())
        examine(firewall, words).good().one("note", "connection tracking follows GRE packets").run(firewall)
        examine(firewall, words, call=True).good().none("tracking")


def test_rules_of_the_manual():
    "the manual's own rules let calls pass, and nothing is noted about them"
    need("nft")
    page = (ROOT / "man/pptpproxy.8").read_text()
    rules = re.search(r"^table ip pptpproxy \{\n.*?^\}\n", page, re.M | re.S)[0]
    with host() as (firewall, words):
        firewall.run(["nft", "-f", "-"], input=rules)
        report = examine(firewall, words, call=True).good()
        report.one("ok", "^lets calls pass$")
        report.none("tracking")


@tap.deadline(180)
def test_iptables():
    "iptables, of both kinds: a closed INPUT, and a rule against protocol 47; commands as they stand"
    need("iptables-legacy", "iptables-nft", "iptables-legacy-save")
    for kind, name in (("iptables-legacy", "iptables-legacy"), ("iptables-nft", "iptables")):
        with host() as (firewall, words):
            firewall.run([kind, "-P", "INPUT", "DROP"])
            firewall.run([kind, "-A", "OUTPUT", "-p", "gre", "-j", "REJECT"])
            mend_all(firewall, words, rf"^{name} table filter, chain (INPUT|OUTPUT): drops")


def test_iptables_in_nftables():
    "rules of iptables that nft can print by itself are told once, as iptables'"
    need("nft", "iptables-nft")
    with host() as (firewall, words):
        for rule in ("-P INPUT DROP", "-A INPUT -p tcp --dport 1723 -j ACCEPT"):
            firewall.run(["iptables-nft", *rule.split()])
        assert "managed by" not in firewall.run(["nft", "list", "ruleset"]).stdout
        mend_all(firewall, words, "^iptables table filter, chain INPUT: drops")


UFW = """*filter
:INPUT DROP
:OUTPUT DROP
:ufw-before-input -
:ufw-before-output -
:ufw-user-input -
:ufw-user-output -
-A INPUT -j ufw-before-input
-A OUTPUT -j ufw-before-output
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-output -o lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-before-output -j ufw-user-output
-A ufw-user-input -p gre -j DROP
COMMIT
"""
FIREWALLD = """table inet firewalld {
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
		ct state { established, related } accept
		iifname "lo" accept
		ct state invalid drop
		jump filter_INPUT_ZONES
		reject with icmpx admin-prohibited
	}
	chain filter_INPUT_ZONES {
		iifname "outside" goto filter_IN_external
		goto filter_IN_public
	}
	chain filter_IN_external {
		jump filter_IN_external_allow
		reject with icmpx admin-prohibited
	}
	chain filter_IN_external_allow {
	}
	chain filter_IN_public {
		jump filter_IN_public_allow
		reject with icmpx admin-prohibited
	}
	chain filter_IN_public_allow {
	}
}
"""


def mend_as(ns, words, meaning):
    """Each finding's command is one of these; what it has its program do is done, and a call passes."""
    wrong = [found.mend for found in examine(ns, [*words, *SOON]).all("error") if "chain" in found.text]
    assert sorted(wrong) == sorted(meaning), wrong
    for command in wrong:
        ns.run(meaning[command].split())
    examine(ns, words, call=True).good().one("ok", "GRE goes both ways")


def test_rules_of_ufw():
    "rules as ufw makes them: the commands are ufw's; with what these do to its chains calls pass"
    need("iptables-nft", "iptables-nft-restore")
    with host() as (firewall, words):
        firewall.run(["iptables-nft-restore"], input=UFW)
        mend_as(firewall, words, {
            "ufw allow 1723/tcp": "iptables-nft -A ufw-user-input -p tcp --dport 1723 -j ACCEPT",
            "ufw allow out proto tcp to 10.2.0.10 port 1723":
                "iptables-nft -A ufw-user-output -p tcp -d 10.2.0.10 --dport 1723 -j ACCEPT",
            "ufw prepend allow in proto gre from any to any": "iptables-nft -I ufw-user-input -p gre -j ACCEPT",
            "ufw allow out proto gre from any to any": "iptables-nft -A ufw-user-output -p gre -j ACCEPT",
        })


def test_rules_of_firewalld():
    "rules as firewalld makes them: the commands are its own, for each zone; with what these do calls pass"
    need("nft")
    with host() as (firewall, words):
        firewall.run(["nft", "-f", "-"], input=FIREWALLD)
        command = "firewall-cmd --permanent --zone={} --add-{} && firewall-cmd --reload".format
        rule = "nft add rule inet firewalld filter_IN_{}_allow {} accept".format
        mend_as(firewall, words, {
            command("public", "port=1723/tcp"): rule("public", "tcp dport 1723"),
            command("public", "protocol=gre"): rule("public", "meta l4proto gre"),
            command("external", "protocol=gre"): rule("external", "meta l4proto gre"),
        })


def test_helper():
    "the kernel's PPTP helper on our port; iptables -D"
    need("iptables-nft")
    with host() as (firewall, words):
        done = firewall.run("iptables-nft -t raw -A PREROUTING -p tcp --dport 1723 -j CT --helper pptp".split(), check=False)
        if done.returncode:
            raise Skip(f"the kernel has none: {done.stderr.strip()}")
        found = examine(firewall, words).only("warning", "gives our control connections to the kernel's PPTP helper")
        found.run(firewall)
        examine(firewall, words).good()


# ---- the way to the server ----


@contextmanager
def routed(*rules):
    """A real server behind a router with these rules where it forwards: (client, words, router)."""
    need("nft")
    with TwoFirewalls(forward=True) as net, Pptpd(net.server):
        nft(net.fw2, *rules, hook="forward")
        yield net.fw1, ["-p", net.server.ip], net.fw2


FORTH, BACK = ("ip daddr 10.2.0.10 ip protocol gre drop", "ip saddr 10.2.0.10 ip protocol gre drop")
ON_THE_SERVER = "on the server: "
IN_BETWEEN = "on each firewall in between: "


def mended_on_the_way(rules, expected):
    with routed(*rules) as (client, words, router):
        examine(client, words).good()
        found = examine(client, [*words, *SOON], call=True).only("error", expected)
        found.run(router, where=IN_BETWEEN)
        examine(client, words, call=True).good().one("ok", "GRE goes both ways")


def test_gre_does_not_reach_the_server():
    "GRE dropped on the way to the server: named as that direction; the command on the router mends it"
    mended_on_the_way([FORTH], "10.2.0.10:1723: GRE comes from it, but ours does not reach it: protocol 47 is dropped")


def test_gre_does_not_come_back():
    "GRE dropped on the way back: named as that; the command on the router mends it"
    mended_on_the_way([BACK], "10.2.0.10:1723: no GRE comes from it .* dropped on the way back, or on both ways")


def test_gre_goes_no_way():
    "GRE dropped both ways"
    mended_on_the_way([FORTH, BACK], "10.2.0.10:1723: no GRE comes from it .* dropped on the way back, or on both ways")


def test_gre_refused_on_the_way():
    "GRE that a router refuses by ICMP"
    mended_on_the_way(["ip daddr 10.2.0.10 ip protocol gre reject with icmp admin-prohibited"],
                      "10.2.0.10:1723: our GRE is answered by ICMP: ")


def test_gre_does_not_leave():
    "GRE that the host's own firewall does not let out, by a rule that cannot be read beforehand"
    need("nft")
    with host() as (firewall, words):
        firewall.run(["nft", "-f", "-"], input="table ip own {\n\tchain leaving {\n\t\ttype filter hook output priority 0;\n"
                                               "\t\tmeta length < 100 ip protocol gre drop\n\t}\n}\n")
        found = examine(firewall, words, call=True).only("error", "this host does not let our GRE out: Operation not permitted")
        found.run(firewall)
        examine(firewall, words, call=True).good()


# ---- servers of all kinds ----


def answer(server, started={}, echo=True):
    """Plays a server up to its echo. Returns the stream."""
    stream = server.accept()
    stream.expect(SCCRQ, version=0x0100)
    stream.send(build(SCCRP, **started))
    if started.get("result", 1) == 1:
        request = stream.expect(ECHO_RQ)
        if echo:
            stream.send(build(ECHO_RP, identifier=request.identifier))
    return stream


def finish(stream):
    stream.expect(STOP_RQ)
    stream.send(build(STOP_RP))


def test_server_that_is_down():
    "a server that refuses, and one that says nothing at all"
    with DualHomed() as net:
        examine(net.firewall, ["-p", net.server.ip, *SOON]).only("error", "10.2.0.10:1723: connection refused")
        net.server.run(["ip", "route", "add", "blackhole", "10.2.0.1/32"])
        examine(net.firewall, ["-p", net.server.ip, *SOON]).only("error", "10.2.0.10:1723: no answer within")


def test_server_that_is_silent():
    "a server that takes the connection and says nothing"
    with fake() as (firewall, words, server):
        started = Examination(firewall, [*words, *SOON])
        stream = server.accept()
        started.report().only("error", "our Start-Control-Connection-Request is not answered within")
        stream.close()


def test_server_that_closes():
    "a server that closes at once"
    with fake() as (firewall, words, server):
        started = Examination(firewall, words)
        stream = server.accept()
        stream.expect(SCCRQ)
        stream.close()
        started.report().only("error", "closed after our Start-Control-Connection-Request")


def test_server_that_lies():
    "something else listens there"
    with fake() as (firewall, words, server):
        started = Examination(firewall, words)
        server.accept().send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        found = started.report().only("error", "what comes is not PPTP: length above 1024")
        found.run(server.ns, where=ON_THE_SERVER)


def test_server_that_refuses():
    "a server that refuses by a result code, which is told in words"
    with fake() as (firewall, words, server):
        started = Examination(firewall, words)
        answer(server, {"result": 4})
        found = started.report().only("error", "refuses the control connection: result 4, not authorized")
        assert found.mend == ON_THE_SERVER + "journalctl -t pptpd -e"


def test_server_with_a_strange_name():
    "what a server calls itself is escaped; its own Echo-Request is answered"
    with fake() as (firewall, words, server):
        started = Examination(firewall, words)
        stream = server.accept()
        stream.expect(SCCRQ)
        stream.send(build(ECHO_RQ, identifier=77),
                    build(SCCRP, host=b"a\x1b[2Jb\nerror    c", vendor=b"\xff" * 64, firmware=4369, framing=1))
        stream.expect(ECHO_RP, identifier=77, result=1)
        stream.send(build(ECHO_RP, identifier=stream.expect(ECHO_RQ).identifier))
        finish(stream)
        report = started.report().good()
        report.one("ok", re.escape(r"host 'a\x1b[2Jb\x0aerror    c', vendor '" + r"\xff" * 64 +
                                   "', firmware 4369, framing asynchronous"))


def test_server_that_stammers():
    "messages that come octet by octet, and several at once"
    with fake() as (firewall, words, server):
        started = Examination(firewall, words)
        stream = server.accept()
        stream.expect(SCCRQ)
        stream.send(*(bytes([octet]) for octet in build(SCCRP)))
        request = stream.expect(ECHO_RQ)
        stream.send(build(ECHO_RQ, identifier=5) + build(ECHO_RP, identifier=request.identifier))
        stream.expect(ECHO_RP, identifier=5)
        finish(stream)
        started.report().good()


def test_server_without_echo():
    "a server that does not answer Echo-Requests, and one that answers another one"
    with fake() as (firewall, words, server):
        started = Examination(firewall, [*words, *SOON])
        answer(server, echo=False)
        started.report().only("error", "our Echo-Request is not answered within")
        started = Examination(firewall, words)
        stream = answer(server, echo=False)
        stream.send(build(ECHO_RP, identifier=1))
        finish(stream)
        found = started.report().only("warning", "its Echo-Reply is for another request")
        assert found.mend == "tcpdump -ni outside -c 20 -w echo.pcap host 10.2.0.10 and tcp port 1723"


def test_server_that_does_not_stop():
    "a server that does not answer the end is noted"
    with fake() as (firewall, words, server):
        started = Examination(firewall, words)
        stream = answer(server)
        stream.expect(STOP_RQ, reason=1)
        found = started.report().good().one("note", "our Stop-Control-Connection-Request is not answered")
        found.run(server.ns, where=ON_THE_SERVER)


def call(server, **reply):
    """Plays a server up to its reply to the call: (stream, the client's call ID)."""
    stream = answer(server)
    request = stream.expect(OCRQ)
    stream.send(build(OCRP, call_id=4711, peer_id=request.call_id, **reply))
    return stream, request.call_id


def clear(stream, call_id):
    stream.expect(CCRQ, call_id=call_id)
    stream.send(build(CDN, call_id=4711))
    finish(stream)


def test_call_refused():
    "a call that is refused: the result in words"
    with fake() as (firewall, words, server):
        started = Examination(firewall, words, call=True)
        stream, _ = call(server, result=4, error=0)
        finish(stream)
        found = started.report().only("error", "refuses the call: result 4, busy, none")
        assert found.mend == ON_THE_SERVER + "journalctl -t pptpd -t pppd -e"


def test_call_not_answered():
    "a call that is not answered"
    with fake() as (firewall, words, server):
        started = Examination(firewall, [*words, *SOON], call=True)
        stream = answer(server)
        stream.expect(OCRQ)
        started.report().only("error", "our Outgoing-Call-Request is not answered within")


def test_call_hung_up():
    "a call that is hung up before a packet comes"
    with fake() as (firewall, words, server):
        started = Examination(firewall, words, call=True)
        stream, _ = call(server)
        stream.send(build(CDN, call_id=4711, result=3))
        finish(stream)
        started.report().only("error", "hangs up before a packet comes: result 3, shut down by its administrator")


def test_call_with_its_connection():
    "a server that ends the control connection with the call"
    with fake() as (firewall, words, server):
        started = Examination(firewall, words, call=True)
        stream, _ = call(server)
        stream.close()
        started.report().only("error", "ends the control connection before a packet comes")


def test_call_that_stays():
    "a server that does not answer the end of a call is noted"
    with fake() as (firewall, words, server):
        started = Examination(firewall, words, call=True)
        stream, call_id = call(server)
        server.gre.send("10.2.0.1", call_id, ack=server.gre.receive().seq)
        stream.expect(CCRQ)
        finish(stream)
        started.report().good().one("note", "our Call-Clear-Request is not answered")


class Flood:
    """Sends these octets on a stream as fast as they go, until it is closed; the kernel's buffers are never empty."""

    def __init__(self, stream, octets):
        self.stream, self.octets = stream, octets * 10000
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def _run(self):
        try:
            self.stream.sock.settimeout(60)
            while True:
                self.stream.sock.sendall(self.octets)
        except OSError:
            pass

    def __exit__(self, *_):
        with suppress(OSError):
            self.stream.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(30)


def test_server_that_floods():
    "a server that sends messages without end keeps nobody: not while an answer is waited for, not during the call"
    step = int(SOON[1])
    with fake() as (firewall, words, server):
        for request, said in ((SCCRQ, "our Start-Control-Connection-Request is not answered within"),
                              (OCRQ, "no GRE comes from it within")):
            began = time.monotonic()
            started = Examination(firewall, [*words, *SOON], call=True)
            if request == OCRQ:
                stream, call_id = call(server)
            else:
                stream = server.accept()
                stream.expect(SCCRQ)
            with Flood(stream, build(WEN, peer_id=call_id) if request == OCRQ else build(ECHO_RQ, identifier=1)):
                started.report().only("error", said)
            assert time.monotonic() - began < 3 * step + 4 + 10


def test_own_request_proves_one_way_only():
    "the server's own Configure-Request proves only the way from it"
    with fake() as (firewall, words, server):
        started = Examination(firewall, [*words, *SOON], call=True)
        stream, call_id = call(server)
        server.gre.send("10.2.0.1", call_id, LCP_REQUEST, seq=0)
        clear(stream, call_id)
        started.report().only("error", "GRE comes from it, but ours does not reach it")


def test_foreign_answers_prove_nothing():
    "an answer to a request that was not sent, an acknowledgement of such a packet, another call's packet: no proof"
    with fake() as (firewall, words, server):
        started = Examination(firewall, [*words, *SOON], call=True)
        stream, call_id = call(server)
        server.gre.send("10.2.0.1", call_id ^ 1, bytes.fromhex("ff03c02102010004"), seq=0)
        server.gre.send("10.2.0.1", call_id, bytes.fromhex("ff03c02102ff0004"), seq=0)
        server.gre.send("10.2.0.1", call_id, b"", ack=0xFFFFFFFF)
        clear(stream, call_id)
        started.report().only("error", "GRE comes from it, but ours does not reach it")


def test_answers_prove_both_ways():
    "a Configure-Ack, -Nak or -Reject of our request, or an acknowledgement of its packet, proves both ways"
    for code in ("02", "03", "04", None):
        with fake() as (firewall, words, server):
            started = Examination(firewall, words, call=True)
            stream, call_id = call(server)
            packet = server.gre.receive()
            assert (packet.call_id, packet.source, packet.seq) == (4711, "10.2.0.1", 0), packet
            assert packet.payload[:5] == bytes.fromhex("ff03c02101"), packet
            if code:
                server.gre.send("10.2.0.1", call_id, bytes.fromhex(f"c021{code}") + packet.payload[5:], seq=0)
            else:
                server.gre.send("10.2.0.1", call_id, ack=packet.seq)
            clear(stream, call_id)
            started.report().good().one("ok", "GRE goes both ways")


def test_gre_from_another_address():
    "a server with two addresses, whose packets come from the other one"
    with fake() as (firewall, words, server):
        ip("-n", server.ns.name, "addr", "add", "10.2.0.99/24", "dev", "eth0")
        started = Examination(firewall, [*words, *SOON], call=True)
        stream, call_id = call(server)
        server.gre.send("10.2.0.1", call_id, LCP_REQUEST, seq=0, source="10.2.0.99")
        clear(stream, call_id)
        started.report().only("error", r"its GRE comes from another address, 10\.2\.0\.99")


def test_nobody_takes_gre_there():
    "a server's host where nothing takes protocol 47 says so by ICMP"
    with DualHomed() as net, closing(FakeServer(net.server)) as server:
        server.gre.sock.close()
        server.ns.gre_socket.close()
        started = Examination(net.firewall, ["-p", net.server.ip, *SOON], call=True)
        stream, call_id = call(server)
        clear(stream, call_id)
        started.report().only("error", "our GRE is answered by ICMP: protocol unreachable")


def test_call_beside_an_instance():
    "a call beside a running instance disturbs neither"
    with World() as world:
        session = world.session()
        other = session.call(5, 7)
        started = Examination(world.net.firewall, ["-p", world.server.ip], call=True)
        stream, call_id = call(world.server)
        packet = world.server.gre.receive()
        world.server.gre.send("10.2.0.1", call_id, ack=packet.seq)
        clear(stream, call_id)
        started.report().good().one("ok", "GRE goes both ways")
        world.server.gre.empty()
        world.client.gre.empty()
        other.check()


if __name__ == "__main__":
    tap.main()
