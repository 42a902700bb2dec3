#!/usr/bin/python3
"""The pages of docs/, done as they are written: their files, their commands, and what they say comes of them.

Firewalls are namespaces, with the program in them. Workstations and PPTP servers are user-mode-linux guests with real
pppd, as /etc/ppp of Debian's packages is: lab/pages.py tells how a page names them.
"""

import csv
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap
from lab.errors import Skip
from lab.examples import Machine
from lab.netns import need
from lab.pages import ROOT, blocks, carry_out
from lab.proc import Lines, Proc
from lab.proxy import SANITIZED, Proxy, program
from lab.real import Call, Pptpd
from lab.topo import Topology
from test_manual import reasons, said
from uml.guest import Guest, Link, need_host

PACKAGED = ("/etc/ppp/options", "/etc/ppp/options.pptp", "/etc/ppp/pptpd-options", "/etc/ppp/ip-up")
SAID = "/run/said"
SERVER_LISTENS = "until grep -q ':06BB 00000000:0000 0A' /proc/net/tcp; do sleep 0.05; done"
HOSTS = "127.0.0.1 localhost\n203.0.113.10 vpn.example.com\n203.0.113.20 firewall.example.com\n"


class Firewall:
    """A namespace with the program in it, and files of its own in /etc, /run and /var/log."""

    def __init__(self, stack, ns):
        self.stack, self.ns = stack, ns
        self.room = stack.enter_context(Machine(HOSTS))
        self.output = Lines(f"output of {ns.name}")
        self.proxy = None

    def write(self, path, text):
        assert path.startswith("/etc/")
        file = self.room.etc / path[len("/etc/"):]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run(self, commands):
        for line in commands.splitlines():
            words = shlex.split(line)
            if words[0] != "pptpproxy":
                self.ns.run(words)
            elif {"--check", "--doctor"} & set(words):
                self._ask(words)
            else:
                self.proxy = self.stack.enter_context(
                    Proxy(self.ns, words[1:], room=self.room, name=f"proxy {self.ns.name}"))

    def _ask(self, words):
        asked = Proc([program(), *words[1:]], ns=self.ns, room=self.room)
        assert asked.wait(30) == 0, asked.text()
        self.output = asked.log

    def said(self, pattern):
        (self.proxy.log if self.proxy else self.output).wait(pattern, 20)


class Host:
    """A guest with an address of that network, which is also what others find it by."""

    def __init__(self, stack, ns, address, gateway):
        files = {path: Path(path).read_text() for path in PACKAGED if Path(path).exists()}
        self.guest = Guest(ns, Link("eth0", address, gateway), files, name=ns.name.partition("-")[2], memory="96M")
        self.gateway = gateway
        stack.enter_context(self.guest)
        self.output = ""

    def ready(self):
        self.guest.wait_ready()
        # The name that the page has.
        self.guest.check(["sh", "-ec", "ip link set vec0 down; ip link set vec0 name eth0; ip link set eth0 up;"
                          f"ip route replace default via {self.gateway}; chmod 755 /etc/ppp/ip-up"])

    def write(self, path, text):
        """Where the guest cannot write there is a file of the package's, which gives way."""
        script = ('mkdir -p "$(dirname "$1")" 2>/dev/null; if ! (: >"$1") 2>/dev/null; then own=/run/own$(echo "$1" | tr / _);'
                  ': >"$own"; mount --bind "$own" "$1"; fi; printf %s "$2" >"$1"; chmod 600 "$1";'
                  'case $2 in "#!"*) chmod 755 "$1";; esac')
        self.guest.check(["sh", "-ec", script, "sh", path, text])

    def run(self, commands):
        # By way of a file: a daemon would hold the pipe.
        self.output += self.guest.check(["sh", "-c", f'sh -ec "$1" >{SAID} 2>&1; done=$?; cat {SAID}; exit $done', "sh", commands], 60)
        if commands.startswith("pptpd"):
            self.guest.check(["sh", "-c", SERVER_LISTENS])

    def said(self, pattern):
        assert re.search(pattern, self.output), f"/{pattern}/ is not in what was said:\n{self.output}"


class Radius:
    """Debian's FreeRADIUS on the network's file server, with a copy of the package's files."""

    def __init__(self, stack, ns):
        self.stack, self.ns = stack, ns
        self.room = stack.enter_context(Machine())
        self.directory = self.room.etc / "freeradius"
        shutil.copytree("/etc/freeradius/3.0", self.directory, symlinks=True)
        (self.directory / "mods-enabled/eap").unlink()  # wants certificates, and is not for MS-CHAPv2
        main = self.directory / "radiusd.conf"  # another user could not read what is written here
        main.write_text(re.sub(r"^(\s*(?:user|group)) = \w+$", r"\1 = root", main.read_text(), flags=re.M))
        for site in ("default", "inner-tunnel"):
            file = self.directory / "sites-available" / site
            file.write_text(re.sub(r"^\s*eap \{.*?^\s*\}$|^\s*-?eap$", "", file.read_text(), flags=re.M | re.S))

    def write(self, path, text):
        """Above what is there."""
        file = self.directory / path
        file.write_text(text + file.read_text())

    def start(self):
        (self.room.log / "freeradius").mkdir()
        words = ["freeradius", "-f", "-l", "stdout", "-d", self.directory]
        self.proc = self.stack.enter_context(Proc(words, ns=self.ns, room=self.room, name="freeradius"))
        self.proc.log.wait("Ready to process requests", 30)


class Net(Topology):
    """The networks of the pages. An end without an address is a guest's, who has one inside.

                            203.0.113.0/24 "internet"
      workstation -- home --+------+-------+-- office --+-- server (guest) .27
      (guest) .2    .1   .1 |      |           .20   .1 '-- files (namespace) .28
        192.0.2.0/24       vpn   traveller              198.51.100.0/24
                          (guests)  .10, .99
    """

    def __init__(self):
        super().__init__()
        try:
            names = "home office workstation vpn traveller server files"
            self.home, self.office, self.workstation, self.vpn, self.traveller, self.server, self.files = map(self.add, names.split())
            self.switch("lan", [(self.home, "inside", "192.0.2.1/24"), (self.workstation, "eth0", None)])
            self.switch("internet", [(self.home, "outside", "203.0.113.1/24"), (self.office, "outside", "203.0.113.20/24"),
                                     (self.vpn, "eth0", None), (self.traveller, "eth0", None)])
            self.switch("inner", [(self.office, "inside", "198.51.100.1/24"), (self.server, "eth0", None),
                                  (self.files, "eth0", "198.51.100.28/24")])
        except BaseException:
            self.close()
            raise


PLACES = {"workstation": ("192.0.2.2/24", "192.0.2.1"), "vpn": ("203.0.113.10/24", "203.0.113.20"),
          "traveller": ("203.0.113.99/24", "203.0.113.20"), "server": ("198.51.100.27/24", "198.51.100.1")}


class Lab:
    """The networks, and machines by their names in the pages: both firewalls, and these hosts, which have booted."""

    def __init__(self, *hosts):
        need_host("pppd", "pptp", "pptpd", "ping", "sysctl")
        self.stack = ExitStack()
        try:
            self.net = self.stack.enter_context(Net())
            self.machines = {name: Firewall(self.stack, getattr(self.net, name)) for name in ("home", "office")}
            self.machines.update({name: Host(self.stack, getattr(self.net, name), *PLACES[name]) for name in hosts})
            for name in hosts:
                self.machines[name].ready()
        except BaseException:
            self.stack.close()
            raise

    def __getattr__(self, name):
        return self.machines[name]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stack.close()


def take_calls(host):
    """A company's server, which the page about its callers does not set up: alice may call."""
    host.write("/etc/pptpd.conf", "option /etc/ppp/pptpd-options\nlocalip 10.8.0.1\nremoteip 10.8.0.100-120\n")
    host.write("/etc/ppp/chap-secrets", 'alice pptpd "open sesame" *\n')
    host.run("pptpd")


def work_as_office(server):
    """The server of docs/office.md, as that page sets it up."""
    carry_out("office.md", {"server": server, "office": Nobody(), "traveller": Nobody()})


class Nobody:
    """A machine whose part of a page is not done."""

    def write(self, path, text):
        pass

    def run(self, commands):
        pass

    def said(self, pattern):
        pass


def hang_up(host, firewall):
    mark = firewall.proxy.log.mark()
    host.guest.check(["sh", "-c", "kill $(cat /run/ppp0.pid)"])
    firewall.proxy.log.wait(r"call ended: ", 20, after=mark)
    host.guest.log.wait(r"pppd\[\d+\]: Exit\.", 20)


def test_home():
    "home.md: a workstation calls the company's server through the firewall"
    with Lab("workstation", "vpn") as lab:
        take_calls(lab.vpn)
        carry_out("home.md", lab.machines)
        lab.workstation.run("ping -n -c 3 10.8.0.1")
        lab.workstation.said(" 3 received")
        hang_up(lab.workstation, lab.home)


def test_office():
    "office.md: pptpd behind the firewall, its users, the inner network by proxyarp, packets larger than the tunnel's MTU"
    with Lab("traveller", "server") as lab:
        carry_out("office.md", lab.machines)
        hang_up(lab.traveller, lab.office)


def test_both():
    "both.md: a proxy on each firewall"
    with Lab("workstation", "server") as lab:
        work_as_office(lab.server)
        carry_out("both.md", lab.machines)
        lab.workstation.run("ping -n -c 3 198.51.100.27")
        lab.workstation.said(" 3 received")
        hang_up(lab.workstation, lab.home)


def test_clients():
    "clients.md: the routes of pptpclient's users, and the script that sets them at each start"
    with Lab("workstation", "vpn") as lab:
        take_calls(lab.vpn)
        lab.home.write("/etc/pptpproxy.conf", "proxy 192.0.2.1,vpn.example.com\n")
        lab.home.run("pptpproxy -c /etc/pptpproxy.conf")
        carry_out("clients.md", lab.machines)
        hang_up(lab.workstation, lab.home)
        lab.workstation.run("pppd call work updetach")
        lab.workstation.guest.check(["sh", "-c", "until ip route | grep -q '^198.51.100.0/24 dev ppp0'; do sleep 0.05; done"])


def test_chains():
    "chains.md: two servers behind one address, each by an inner address of the other firewall"
    need("pptp", "pptpd")
    with Lab() as lab:
        for ns in (lab.net.workstation, lab.net.server):
            address, gateway = PLACES[ns.name.partition("-")[2]]
            ns.address("eth0", address)
            ns.route("default", gateway)
        for ns, number in ((lab.net.server, 27), (lab.net.files, 28)):
            lab.stack.enter_context(Pptpd(ns, local=f"10.{number}.0.1-50", remote=f"10.{number}.1.1-50", name=f"pptpd {number}"))
        carry_out("chains.md", lab.machines)
        for address, number in (("192.0.2.1", 27), ("192.0.2.3", 28)):
            call = lab.stack.enter_context(Call(lab.net.workstation, address, name=f"call to {address}"))
            call.wait_up()
            assert call.remote.startswith(f"10.{number}."), f"the call to {address} arrived at {call.remote}"
            call.ping(3)
            call.hang_up()


def test_radius():
    "radius.md: a user whom only the RADIUS server knows calls, and one whom it does not know cannot"
    need("freeradius")
    with Lab("traveller", "server") as lab:
        work_as_office(lab.server)
        lab.office.write("/etc/pptpproxy.conf", "proxy 203.0.113.20,198.51.100.27\n")
        lab.office.run("pptpproxy -c /etc/pptpproxy.conf")
        radius = Radius(lab.stack, lab.net.files)
        page = [block for block in blocks("radius.md") if "radius" in block.machines]
        for block in page:
            radius.write(block.path, block.text)
        radius.start()
        carry_out("radius.md", {**lab.machines, "radius": Nobody()})
        hang_up(lab.traveller, lab.office)
        lab.traveller.write("/etc/ppp/chap-secrets", "carol pptpd wrong *\n")
        status, output = lab.traveller.guest.run(["pppd", "call", "work", "nodetach"])
        assert status == 19 and "authentication failed" in output, (status, output)


def test_comparison():
    "comparison.md: its table is what bench/abilities finds"
    need("nft")
    if SANITIZED.search(program().read_bytes()):
        raise Skip("what Linux NAT can does not depend on how the program was built")
    found = subprocess.run([sys.executable, "-B", ROOT / "bench/abilities"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert found.count("\n") > 9 and found in (ROOT / "docs/comparison.md").read_text(), f"bench/abilities found:\n{found}"


RATED = ("pptpproxy: fast path", "pptpproxy: raw sockets", "Linux NAT with PPTP helper", "naive relay")
CALLS = ("1", "100", "1000", "10000")


def rates():
    """The table of packet rates, of the figures that tools/bench has left: 64 octets, client to server."""
    with open(ROOT / "bench/results/packets.csv") as file:
        rows = {(row["system"], row["calls"]): float(row["mpps"]) for row in csv.DictReader(file)
                if (row["payload"], row["direction"]) == ("64", "up")}
    lines = ["| calls | " + " | ".join(f"{int(calls):,}" for calls in CALLS) + " |", "|---" * (len(CALLS) + 1) + "|"]
    lines += [f"| {system} | " + " | ".join(f"{rows[system, calls]:.3g}" for calls in CALLS) + " |" for system in RATED]
    return "\n".join(lines) + "\n"


def test_rates():
    "comparison.md: its table of rates is that of tools/bench's last run"
    table = rates()
    assert table in (ROOT / "docs/comparison.md").read_text(), table


def test_troubleshooting():
    "troubleshooting.md: its log lines have the program's words"
    words = re.findall(r"^((?:`[^`\n]+`(?:, | … | )?)+)\n: ", (ROOT / "docs/troubleshooting.md").read_text(), re.M)
    quoted = [word for line in words for word in re.findall(r"`([^`]+)`", line)]
    assert len(quoted) > 15, quoted
    # How a connection ends stands behind "closed:", the last of the families.
    program_has = said() + [f"closed: {name}:" for name, _ in reasons()[-1]]
    unknown = [word for word in quoted if not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for text in program_has)]
    assert not unknown, f"the program does not say: {unknown}"


def test_every_page_is_tried():
    "each page with something to try is tried here"
    text = Path(__file__).read_text()
    tried = set(re.findall(r'carry_out\("([\w-]+\.md)"', text))
    pages = {page.name for page in (ROOT / "docs").glob("*.md") if re.search(r"^```\w+ \w", page.read_text(), re.M)}
    assert tried == pages, f"tried are {sorted(tried)}, of {sorted(pages)}"


if __name__ == "__main__":
    tap.main()
