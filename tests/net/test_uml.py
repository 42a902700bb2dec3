#!/usr/bin/python3
"""Real pppd at both ends, MS-CHAPv2 and MPPE-128 between them, in user-mode-linux guests.

    [ guest: pppd, pptp ] .10 ---- .1 firewall .1 ---- .10 [ guest: pptpd, pppd ]
                        10.1.0.0/24           10.2.0.0/24

The first cases try the laboratory alone: if one of those fails, the proxy is not to blame. The last one needs a kernel
whose settings are its own: there the proxy itself runs in a guest.
"""

import json
import re
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap
from lab.proxy import CALL_ENDED, READY, Proxy, guest_program
from lab.topo import Topology
from uml.guest import Guest, Link, build_preload, need_host

SERVER_PPP, CLIENT_PPP = "10.8.0.1", "10.9.0.1"

# What Debian's pptpd-options and options.pptp say, and what pptpd's and pptp's manuals tell to write.
SERVER_FILES = {
    "/etc/ppp/pptpd.conf": f"""\
option /etc/ppp/pptpd-options
localip {SERVER_PPP}
remoteip {CLIENT_PPP}
""",
    "/etc/ppp/pptpd-options": """\
name pptpd
refuse-pap
refuse-chap
refuse-mschap
require-mschap-v2
require-mppe-128
nodefaultroute
lock
nobsdcomp
novj
novjccomp
nologfd
mtu 1400
mru 1400
""",
    "/etc/ppp/chap-secrets": 'alice pptpd "open sesame" *\n',
}


def client_files(host):
    return {
        "/etc/ppp/peers/work": f"""\
pty "pptp {host} --nolaunchpppd"
name alice
remotename pptpd
lock
noauth
nobsdcomp
nodeflate
refuse-pap
refuse-eap
refuse-chap
refuse-mschap
require-mppe-128
mtu 1400
mru 1400
""",
        "/etc/ppp/chap-secrets": 'alice pptpd "open sesame" *\n',
    }


class Net(Topology):
    """The drawing above. The guests are the machines, so the ends of the wires have no addresses."""

    server_ip = "10.2.0.10"
    inside = "10.1.0.1"

    def __init__(self, forward=False):
        super().__init__()
        try:
            self.client, self.firewall, self.server = map(self.add, ("client", "firewall", "server"))
            for end, device, subnet in ((self.client, "inside", "10.1.0"), (self.server, "outside", "10.2.0")):
                self.wire(end, "eth0", None, self.firewall, device, f"{subnet}.1/24")
            if forward:
                self.firewall.sysctl("net.ipv4.ip_forward", 1)
        except BaseException:
            self.close()
            raise

    def boot(self, stack, dial):
        """Both guests; the client's knows the server as `dial`."""
        client = Guest(self.client, Link("eth0", "10.1.0.10/24", "10.1.0.1"), client_files(dial), name="client")
        stack.enter_context(client)
        server = Guest(self.server, Link("eth0", "10.2.0.10/24", "10.2.0.1"), SERVER_FILES, name="server")
        stack.enter_context(server)
        return client.wait_ready(), server.wait_ready()


def take_calls(server):
    server.start(["pptpd", "--fg", "--conf", "/etc/ppp/pptpd.conf"])
    listens = "until grep -q ':06BB 00000000:0000 0A' /proc/net/tcp; do sleep 0.05; done"
    server.check(["sh", "-c", listens])


def dial(client, server):
    """Bring the call up. Both ends say that it is encrypted, and have the addresses that they should have."""
    client.check(["pppd", "call", "work"])
    ends = ((client, CLIENT_PPP, SERVER_PPP), (server, SERVER_PPP, CLIENT_PPP))
    for guest, local, remote in ends:
        guest.log.wait(r"pppd\[\d+\]: MPPE 128-bit stateless compression enabled", 40)
        guest.log.wait(rf"pppd\[\d+\]: local +IP address {re.escape(local)}$", 20)
        guest.log.wait(rf"pppd\[\d+\]: remote IP address {re.escape(remote)}$", 20)
        assert f"inet {local} peer {remote}/32" in guest.check(["ip", "address", "show", "ppp0"])


def ping(guest, remote, *sizes):
    """Until so many replies: with -W it would wait for the last one only twice as long as another took."""
    for size in sizes:
        output = guest.check(["ping", "-n", "-c", "3", "-i", "0.2", "-w", "10", "-s", size, remote])
        assert " 3 received" in output, output


def iperf(client, server, octets, *words):
    """Bulk traffic through the tunnel, as much as that. Returns Mbit/s."""
    mark = server.log.mark()
    server.start(["iperf3", "-s", "-1", "-B", SERVER_PPP, "--forceflush"])
    server.log.wait(r"Server listening", 20, after=mark)
    result = json.loads(client.check(["iperf3", "-c", SERVER_PPP, "-J", "-n", octets, *words], 60))
    received = result["end"]["sum_received"]
    # The last of it may be under way when the sender counts to the end.
    assert received["bytes"] > octets / 2, result["end"]
    return received["bits_per_second"] / 1e6


def carry(client, server):
    """What a user does with a call that is up; it still stands afterwards."""
    ping(client, SERVER_PPP, 56, 1000, 1372, 3000)
    ping(server, CLIENT_PPP, 1372)
    there = iperf(client, server, 4_000_000)
    back = iperf(client, server, 4_000_000, "-R")
    tap.comment(f"{there:.0f} Mbit/s to the server, {back:.0f} Mbit/s from it")
    ping(client, SERVER_PPP, 56)
    for guest in (client, server):
        assert not guest.log.matching(r"pppd\[\d+\]: (Connection terminated|LCP terminated|Modem hangup)")


def hang_up(client, server):
    client.check(["sh", "-c", "kill $(cat /run/ppp0.pid)"])
    for guest in (client, server):
        guest.log.wait(r"pppd\[\d+\]: Connection terminated", 20)
        guest.log.wait(r"pppd\[\d+\]: Exit", 20)


def test_boots_where_registers_are_wide():
    "a guest boots where the register state is as wide as with AMX, thanks to the shim"
    need_host()
    with Topology() as net, tempfile.TemporaryDirectory(prefix="pptpuml-") as directory:
        shim, wide = (build_preload(directory, name) for name in ("xstate_shim", "xstate_wide"))
        ns = net.add("wide")
        with Guest(ns, preload=[wide], name="bare") as bare, Guest(ns, preload=[shim, wide], name="padded") as padded:
            bare.log.wait(r"ptrace set fp regs failed, errno = 14", 60)
            assert padded.wait_ready().check(["echo", "alive"]) == "alive\n"


def test_guests_alone():
    "without a proxy, over plain routing, the guests' encrypted call comes up"
    need_host("pppd", "pptp", "pptpd", "ping")
    with Net(forward=True) as net, ExitStack() as stack:
        client, server = net.boot(stack, net.server_ip)
        take_calls(server)
        dial(client, server)
        ping(client, SERVER_PPP, 56, 1372)
        hang_up(client, server)


def test_mppe_through_the_proxy():
    "a call with MS-CHAPv2 and MPPE-128 comes up through the proxy, carries bulk traffic and ends"
    need_host("pppd", "pptp", "pptpd", "ping", "iperf3")
    with Net() as net, Proxy(net.firewall, ["-p", net.server_ip]) as proxy, ExitStack() as stack:
        client, server = net.boot(stack, net.inside)
        take_calls(server)
        dial(client, server)
        carry(client, server)
        hang_up(client, server)
        proxy.log.wait(CALL_ENDED)


# One run of the program, to readiness and back. Prints what it said, and its exit status last.
UP_AND_DOWN = """\
: >/run/said
"$@" >/run/said 2>&1 &
until grep -q 'ready: ' /run/said || ! kill -0 $!; do sleep 0.05; done
kill $!
wait $!
status=$?
cat /run/said
exit $status
"""


def test_small_receive_buffer_is_told():
    "where the system refuses a large receive buffer, a warning names the sysctl; not where it grants one"
    need_host()
    program = guest_program()
    drop = ["setpriv", "--bounding-set=-net_admin"]  # the capability that passes the limit
    cases = [(1 << 20, drop, ["1024"]), ((4 << 20) - 2048, drop, ["4094"]), (4 << 20, drop, []), (1 << 20, [], [])]
    with Topology() as net, Guest(net.add("limited"), programs=[program], name="limited") as guest:
        guest.wait_ready()
        for limit, before, expected in cases:
            # The sysctl is a whole kernel's, and tests leave the host's alone; the guest has its own.
            guest.check(["sh", "-c", f"echo {limit} >/proc/sys/net/core/rmem_max"])
            said = guest.check(["sh", "-c", UP_AND_DOWN, "sh", *before, program.name, "-n", "-p", "192.0.2.1"])
            assert re.search(READY, said) and said.endswith("stopped\n"), said
            told = re.findall(r"^warning: the GRE receive buffer is (\d+) KiB .* net\.core\.rmem_max to 4194304$",
                              said, re.M)
            assert told == expected and said.count("rmem_max") == len(expected), (limit, before, said)


if __name__ == "__main__":
    tap.main()
