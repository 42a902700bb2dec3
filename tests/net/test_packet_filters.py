#!/usr/bin/python3
"""packaging/nftables and packaging/iptables, loaded as they stand into a host that drops all it does not know."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap
from lab.examples import Lab
from lab.netns import need
from lab.proc import wait_until
from lab.proxy import CONNECTED, NO_GRE, ROOT
from lab.real import Call

NFT = ROOT / "packaging/nftables/pptpproxy.nft"
IPTABLES = ROOT / "packaging/iptables/pptpproxy.rules"
WORDS = ["-p", "vpn.example.com", "-a", "192.0.2.0/24"]

# As Debian's own, but that nothing is let in, out or through; drops are counted.
NFT_HOST = """\
flush ruleset
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop
		iif lo accept
		ct state established,related accept
		counter
	}
	chain forward {
		type filter hook forward priority filter; policy drop
	}
	chain output {
		type filter hook output priority filter; policy drop
		oif lo accept
		ct state established,related accept
		counter
	}
}
"""
IPTABLES_HOST = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT DROP [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -m comment --comment dropped
-A OUTPUT -o lo -j ACCEPT
-A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
COMMIT
"""


class Nft:
    def __init__(self, ns):
        need("nft")
        self.ns = ns
        ns.run(["nft", "-f", "-"], input=NFT_HOST)

    def load(self, text):
        self.ns.run(["nft", "-f", "-"], input=text)

    def dropped(self):
        return int(re.search(r"counter packets (\d+)", self.ns.run(["nft", "list", "chain", "inet", "filter", "input"]).stdout)[1])

    def untracked(self):
        return len(re.findall("notrack", self.ns.run(["nft", "list", "ruleset"]).stdout))


class Iptables:
    def __init__(self, ns):
        need("iptables-restore")
        self.ns = ns
        ns.run(["iptables-restore"], input=IPTABLES_HOST)

    def load(self, text):
        self.ns.run(["iptables-restore", "--noflush"], input=text)

    def dropped(self):
        return int(re.search(r"\[(\d+):\d+\] -A INPUT .*dropped", self.ns.run(["iptables-save", "-c"]).stdout)[1])


def tracked(ns):
    """What connection tracking knows of protocol 47, where the kernel tells."""
    with ns:
        table = Path("/proc/thread-self/net/nf_conntrack")
        lines = table.read_text().splitlines() if table.exists() else []
    return [line for line in lines if re.search(r"\bgre\b|\bunknown +47\b", line)]


def without(text, pattern):
    """The text without the lines in which this is found."""
    lines = text.splitlines(keepends=True)
    left = [line for line in lines if not re.search(pattern, line)]
    assert len(left) < len(lines), pattern
    return "".join(left)


def call_gets_through(kind, file):
    """A call waits before the host's filter until the rules are loaded, and comes up then."""
    with Lab() as lab:
        host = kind(lab.net.home)
        lab.pptpd(lab.net.vpn, 10)
        proxy = lab.proxy(lab.net.home, WORDS)
        before = host.dropped()
        call = lab.enter(Call(lab.net.workstation, "192.0.2.1"))
        wait_until(lambda: host.dropped() > before, 15, "the filter to drop what the client sends")
        assert not proxy.log.matching(CONNECTED) and not call.up()
        host.load(file.read_text())
        call.wait_up()
        call.ping(3)
        assert not tracked(lab.net.home), tracked(lab.net.home)
        call.hang_up()


def no_gre_without(kind, text):
    """Without the rules that accept protocol 47 the connection is there, and its calls die."""
    with Lab() as lab:
        host = kind(lab.net.home)
        host.load(text)
        lab.pptpd(lab.net.vpn, 10)
        proxy = lab.proxy(lab.net.home, WORDS)
        call = lab.enter(Call(lab.net.workstation, "192.0.2.1"))
        proxy.log.wait(NO_GRE, 25 * tap.slowdown(), count=2)
        assert not call.up()


def test_nftables():
    "nftables: a call that the host drops comes up once the rules are loaded"
    call_gets_through(Nft, NFT)


def test_nftables_twice():
    "nftables: included by the host's file, as its head says, and that file loaded twice, a call comes up"
    with Lab() as lab:
        host = Nft(lab.net.home)
        [line] = re.findall(r"""^# +echo '(include ".*")' """, NFT.read_text(), re.M)
        for _ in range(2):
            host.load(NFT_HOST + line.replace("/etc/pptpproxy.nft", str(NFT)) + "\n")
        lab.pptpd(lab.net.vpn, 10)
        lab.proxy(lab.net.home, WORDS)
        lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()
        assert host.untracked() == 2


def test_nftables_openwrt():
    "nftables: the chains alone, within OpenWrt's own table, keep a call's packets untracked"
    [chains] = re.findall(r"^table ip pptpproxy \{\n(.*?)^\}\n", NFT.read_text(), re.M | re.S)
    with Lab() as lab:
        lab.net.home.run(["nft", "-f", "-"], input=f"table inet fw4 {{\n{chains}}}\n")
        # What makes the kernel track at all.
        lab.net.home.run(["nft", "-f", "-"], input="table ip t { chain c { type filter hook input priority 0; ct state new; }; }\n")
        lab.pptpd(lab.net.vpn, 10)
        lab.proxy(lab.net.home, WORDS)
        call = lab.call(lab.net.workstation, "192.0.2.1", 10)
        assert not tracked(lab.net.home), tracked(lab.net.home)
        call.hang_up()


def test_nftables_gre():
    "nftables: without its rules for protocol 47, no packets"
    no_gre_without(Nft, without(NFT.read_text(), "protocol gre accept"))


def test_nftables_is_the_manuals():
    "nftables: its rules are those that the manual has for a host that drops all else"
    page = (ROOT / "man/pptpproxy.8").read_text()
    [shown] = re.findall(r"^table ip pptpproxy \{\n(.*?)^\}\n", page, re.M | re.S)
    chains = dict(re.findall(r"^\tchain (\w+) \{\n(.*?)^\t\}\n", shown, re.M | re.S))
    ours = NFT.read_text()
    for chain in ("untracked_in", "untracked_out"):
        assert f"\tchain {chain} {{\n{chains[chain]}\t}}\n" in ours, chain
    for chain, name in (("in", "input"), ("out", "output")):
        rules = {line.strip() for line in chains[chain].splitlines()}
        mine = set(re.findall(rf"^insert rule inet filter {name} (.*)$", ours, re.M))
        # The rest is every host's own.
        assert mine == {rule for rule in rules if "1723" in rule or "gre" in rule}, (chain, mine)


def test_iptables():
    "iptables: a call that the host drops comes up once the rules are loaded"
    call_gets_through(Iptables, IPTABLES)


def test_iptables_gre():
    "iptables: without its rules for protocol 47, no packets"
    no_gre_without(Iptables, without(IPTABLES.read_text(), "-p gre -j ACCEPT"))


def test_iptables_is_the_same():
    "iptables: it lets pass what the nftables file does"
    nft, tables = NFT.read_text(), IPTABLES.read_text()
    spoken = {"tcp dport 1723 accept": "-p tcp --dport 1723 -j ACCEPT", "ip protocol gre accept": "-p gre -j ACCEPT"}
    wanted = {f"-I {chain.upper()} {spoken[rule]}" for chain, rule in
              re.findall(r"^insert rule inet filter (\w+) (.*)$", nft, re.M)}
    assert set(re.findall(r"^-I .*$", tables, re.M)) == wanted
    assert len(re.findall(r"^-A (?:PREROUTING|OUTPUT) -p gre -j CT --notrack$", tables, re.M)) == nft.count(" notrack")


if __name__ == "__main__":
    tap.main()
