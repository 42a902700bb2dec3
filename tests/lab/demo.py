"""What tools/demo shows: a real call through the proxy, step by step, for a terminal.

    demo            a call from its first ping to its end
    demo stay       a call that stays up until Ctrl-C, and the status page at http://127.0.0.1:8723/ of this machine
    demo broken     a call whose packets from the server are lost from some moment on, and what names that
"""

import re
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from . import proc
from .errors import Skip
from .proc import Proc
from .proxy import Proxy, program
from .real import Call, Pptpd
from .topo import DualHomed

DRAWING = """\
    client                    firewall                    server
    10.1.0.10 ------- 10.1.0.1        10.2.0.1 ------- 10.2.0.10
    pptp                     pptpproxy                     pptpd
"""
INDENT = "    "
TRAFFIC = 4
PAGE = ("127.0.0.1", 8723)
WIRE = """
    table netdev wire {
        chain cut { type filter hook egress device "eth0" priority 0; ip protocol gre drop; }
    }"""
NOTICED = 60  # seconds until the proxy has noticed a silence; it takes some 40
PATIENCE = 60


def bold(text):
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def say(text=""):
    print(text, flush=True)


def detail(text):
    say(INDENT + text)


class Steps:
    def __init__(self):
        self.number = 0

    def __call__(self, text):
        self.number += 1
        say()
        say(bold(f"{self.number}. {text}"))


class Stage:
    """The networks, pptpd, the proxy and a call that is up, each told as it comes."""

    def __init__(self, stack, step, *more):
        say(bold("A PPTP call through a dual-homed firewall"))
        say()
        say(DRAWING)
        say("All three are network namespaces of this machine. The firewall routes nothing:")
        say("what gets through was carried by the proxy.")
        step("The networks")
        self.net = stack.enter_context(DualHomed())
        self.wait_neighbours()
        if self.net.client.run(["ping", "-c", "1", "-W", "1", self.net.server.ip], check=False).returncode == 0:
            raise AssertionError(f"the ping from {self.net.client.ip} to {self.net.server.ip} got through without the proxy")
        detail("ping from client to server: no answer, as it should be")
        step("The server: pptpd")
        self.pptpd = stack.enter_context(Pptpd(self.net.server, listen=self.net.server.ip))
        detail(f"listens on {self.net.server.ip} port 1723")
        step("The firewall: pptpproxy")
        words = ["-p", self.net.server.ip, "-a", "10.1.0.0/24", *more]
        detail(f"# pptpproxy -n {' '.join(words)}")
        self.proxy = stack.enter_context(Proxy(self.net.firewall, words, debug=False))
        detail("ready")
        step("The client calls the firewall's inner address: pptp")
        began = time.monotonic()
        self.call = stack.enter_context(Call(self.net.client, self.net.inside))
        self.call.wait_up()
        self.pptpd.wait_up(self.call)
        detail(f"PPP is up after {time.monotonic() - began:.1f} s: {self.call.local} at the client, {self.call.remote} at the server")

    def wait_neighbours(self):
        """A link that is new may lose what comes first; then no answer from afar would prove nothing."""
        for ns, addr in ((self.net.client, self.net.inside), (self.net.firewall, self.net.server.ip)):
            answered = lambda: ns.run(["ping", "-c", "1", "-W", "1", addr], check=False).returncode == 0
            proc.wait_until(answered, PATIENCE, f"the answer of {addr} to a ping")
        detail("ping from client to firewall, from firewall to server: answered")

    def ask(self, *words):
        """What the program says on the firewall."""
        asked = Proc([program(), *words], ns=self.net.firewall, name=" ".join(["pptpproxy", *map(str, words)]))
        asked.wait(PATIENCE)
        return asked.text()


def ping(call):
    """Shows ping's own lines as they come."""
    process = call.ns.popen(["ping", "-n", "-c", "4", "-i", "0.5", "-w", "10", call.remote], name="ping")
    for number in range(1, 5):
        detail(process.wait_line(r"^\d+ bytes from .*", 10, count=number)[0])
    detail(process.wait_line(r"packets transmitted.*", 10).string)
    process.stop()


def traffic(call, pptpd):
    for reverse, way in ((False, "client to server"), (True, "server to client")):
        rate = call.iperf(pptpd, TRAFFIC, reverse)
        detail(f"{way}: {rate / 1e6:7.1f} Mbit/s for {TRAFFIC} s")


def pings_without_end(stack, call):
    stack.enter_context(call.ns.popen(["ping", "-n", "-q", "-i", "0.2", call.remote], name="ping"))


# ---- demo ----


def show(stack):
    step = Steps()
    stage = Stage(stack, step)

    step("Pings through the tunnel")
    ping(stage.call)

    step("Bulk traffic through the tunnel: iperf3")
    traffic(stage.call, stage.pptpd)

    step("The client hangs up")
    stage.call.hang_up()
    stage.proxy.stop()
    detail("the call has ended, the proxy was stopped")

    step("What the proxy said about it")
    for line in stage.proxy.log.all():
        detail(line)


# ---- demo stay ----


def pass_on(one, other):
    try:
        while octets := one.recv(65536):
            other.sendall(octets)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def lend(client, ns):
    """A connection to this machine's port goes on to the same one in the namespace."""
    with client, ns, socket.socket() as server:
        server.connect(PAGE)
        back = threading.Thread(target=pass_on, args=(server, client), daemon=True)
        back.start()
        pass_on(client, server)
        back.join()


def lend_page(listener, ns):
    listener.listen()

    def run():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=lend, args=(client, ns), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()


def own_port(stack):
    """This machine's, for the page."""
    listener = stack.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(PAGE)
    except OSError as error:
        raise RuntimeError("port %d of %s, for the status page: %s" % (PAGE[1], PAGE[0], error.strerror)) from None
    return listener


def stay(stack):
    step = Steps()
    listener = own_port(stack)
    stage = Stage(stack, step, "--stats", "%s:%d" % PAGE)
    pings_without_end(stack, stage.call)

    step("The status page")
    lend_page(listener, stage.net.firewall)
    detail("http://%s:%d/ in a browser on this machine; Ctrl-C takes everything down" % PAGE)
    stage.proxy.proc.wait(None)


# ---- demo broken ----


def cut(net):
    """Packets of the server are lost on the wire: it does not notice that it is not heard."""
    net.server.run(["nft", WIRE])


def page_of(ns):
    with ns, urllib.request.urlopen("http://%s:%d/" % PAGE, timeout=10) as answer:
        return answer.read().decode()


def silent_row(page):
    """What the page's table says of the call with a silent direction: columns and texts."""
    for row in re.findall(r"<tr>.*?</tr>", page, re.S):
        cells = re.findall(r'<t[hd]\b[^>]* data-label="([^"]*)"[^>]*><span>(.*?)</span>', row, re.S)
        if any(text.startswith("silent") for _, text in cells):
            return cells
    raise AssertionError(f"nothing is silent on the page:\n{page}")


def matching(text, pattern):
    lines = [line for line in text.splitlines() if re.search(pattern, line)]
    if not lines:
        raise AssertionError(f"nothing about it was said:\n{text}")
    return lines


def broken(stack):
    step = Steps()
    file = Path(stack.enter_context(tempfile.TemporaryDirectory()), "call.pcap")
    stage = Stage(stack, step, "--stats", "%s:%d" % PAGE, "--capture", str(file))
    pings_without_end(stack, stage.call)

    step("Pings through the tunnel")
    ping(stage.call)

    step("Protocol 47 is cut, from the server to the firewall")
    cut(stage.net)
    detail("everything else passes: TCP goes on, and so do packets from the client")
    detail("(the proxy waits for more than ends leave between two echoes: some 40 s)")

    step("The log says")
    detail(stage.proxy.log.wait(r"no GRE from server .*", NOTICED).string)

    step("pptpproxy --show calls says")
    for line in matching(stage.ask("--show", "calls"), r"^CALL|server silent"):
        detail(line)

    step("The status page says")
    for column, text in silent_row(page_of(stage.net.firewall)):
        detail(f"{column + ':':24}{text}")

    step("pptpproxy --doctor-call says")
    report = stage.ask("--doctor-call", "-p", stage.net.server.ip)
    for finding in re.findall(r"^  error .*\n(?: {11}.*\n)*", report, re.M) or [report]:
        for line in finding.splitlines():
            detail(line)

    step("pptpproxy --explain says of a capture of it")
    stage.proxy.stop()  # all of it is in the file then
    story = stage.ask("--explain", file)
    detail("...")
    for line in story[story.index("What looks wrong"):].splitlines():
        detail(line)


PLAYS = {"": show, "stay": stay, "broken": broken}


def main(play):
    proc.exit_on_signals()
    try:
        with ExitStack() as stack:
            PLAYS[play](stack)
    except KeyboardInterrupt:
        say()
        say("Interrupted; everything has been taken down.")
        sys.exit(130)
    except (Skip, AssertionError, RuntimeError, OSError) as error:
        say()
        say(bold("That went wrong:"))
        say(re.sub(r"(?m)^", INDENT, str(error)))
        for lines in proc.diary():
            if lines.name == "pptpproxy":
                say(re.sub(r"(?m)^", INDENT, lines.tail(40)))
        sys.exit(1)
    say()
    say("Done. Everything has been taken down.")


if __name__ == "__main__":
    main("".join(sys.argv[1:]))
