"""What tools/demo shows: one real call through the proxy, step by step, for a terminal."""

import re
import sys
import time
from contextlib import ExitStack

from . import proc
from .errors import Skip
from .proxy import Proxy
from .real import Call, Pptpd
from .topo import DualHomed

DRAWING = """\
    client                    firewall                    server
    10.1.0.10 ------- 10.1.0.1        10.2.0.1 ------- 10.2.0.10
    pptp                     pptpproxy                     pptpd
"""
INDENT = "    "
TRAFFIC = 4


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


def ping(call):
    """Shows ping's own lines as they come."""
    process = call.ns.popen(["ping", "-n", "-c", "4", "-i", "0.5", "-W", "3", call.remote], name="ping")
    for number in range(1, 5):
        detail(process.wait_line(r"^\d+ bytes from .*", 10, count=number)[0])
    detail(process.wait_line(r"packets transmitted.*", 10).string)
    process.stop()


def traffic(call, pptpd):
    for reverse, way in ((False, "client to server"), (True, "server to client")):
        rate = call.iperf(pptpd, TRAFFIC, reverse)
        detail(f"{way}: {rate / 1e6:7.1f} Mbit/s for {TRAFFIC} s")


def show(stack):
    step = Steps()
    say(bold("A PPTP call through a dual-homed firewall"))
    say()
    say(DRAWING)
    say("All three are network namespaces of this machine. The firewall routes nothing:")
    say("what gets through was carried by the proxy.")

    step("The networks")
    net = stack.enter_context(DualHomed())
    if net.client.run(["ping", "-c", "1", "-W", "1", net.server.ip], check=False).returncode == 0:
        raise AssertionError(f"the ping from {net.client.ip} to {net.server.ip} got through without the proxy")
    detail("ping from client to server: no answer, as it should be")

    step("The server: pptpd")
    pptpd = stack.enter_context(Pptpd(net.server, listen=net.server.ip))
    detail(f"listens on {net.server.ip} port 1723")

    step("The firewall: pptpproxy")
    words = ["-p", net.server.ip, "-a", "10.1.0.0/24"]
    detail(f"# pptpproxy -n {' '.join(words)}")
    proxy = stack.enter_context(Proxy(net.firewall, words, debug=False))
    detail("ready")

    step("The client calls the firewall's inner address: pptp")
    began = time.monotonic()
    call = stack.enter_context(Call(net.client, net.inside))
    call.wait_up()
    detail(f"PPP is up after {time.monotonic() - began:.1f} s: {call.local} at the client, {call.remote} at the server")

    step("Pings through the tunnel")
    ping(call)

    step("Bulk traffic through the tunnel: iperf3")
    traffic(call, pptpd)

    step("The client hangs up")
    call.hang_up()
    proxy.stop()
    detail("the call has ended, the proxy was stopped")

    step("What the proxy said about it")
    for line in proxy.log.all():
        detail(line)


def main():
    proc.exit_on_signals()
    try:
        with ExitStack() as stack:
            show(stack)
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
    main()
