#!/usr/bin/python3
"""Thousands of control connections at once, by bench/sessions.c at both ends: they come up, live, and hold little."""

import resource
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, watch
from lab.errors import Skip
from lab.messages import PORT
from lab.netns import Namespace
from lab.proc import wait_until
from lab.proxy import ROOT, Proxy

SESSIONS = ROOT / "build/bench/sessions"
PROXY, SERVER = "127.1.0.1", "127.2.0.1"
MANY = 9900
IDLE = 4000
OCTETS_AN_IDLE_CONNECTION = 2048
KEPT = 100  # descriptors of a process that are no connection's, and some spare


@contextmanager
def relayed():
    """The proxy before a server, in one namespace."""
    if not SESSIONS.exists():
        raise RuntimeError(f"{SESSIONS} is missing: build it first")
    with closing(Namespace("loop")) as ns:
        ns.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
        server = ns.popen([SESSIONS, "serve", SERVER, str(PORT)], name="server")
        server.wait_line("ready")
        with Proxy(ns, ["-p", f"{PROXY}:{PORT},{SERVER}:{PORT}"], debug=False) as proxy:
            yield ns, proxy


class Held:
    """So many control connections, up and idle, until the block is left."""

    def __init__(self, ns, count):
        words = [str(word) for word in (SESSIONS, "hold", PROXY, PORT, count)]
        with ns:
            self.client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said = self.client.stdout.readline().strip()

    def echo(self):
        """How many answer an Echo-Request; waits for all."""
        self.client.stdin.write("\n")
        self.client.stdin.flush()
        return self.client.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.client.kill()
        self.client.communicate()


def _no_more_than_the_descriptors(wanted):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return wanted if limit == resource.RLIM_INFINITY else min(wanted, (limit - KEPT) // 2)


@tap.deadline(180)
def test_thousands_of_connections_at_once():
    "as many control connections at once as the limit of descriptors allows, up to 9,900: all come up, all are alive"
    count = _no_more_than_the_descriptors(MANY)
    tap.comment(f"{count} connections")
    with relayed() as (ns, proxy):
        descriptors = watch.descriptors(proxy.worker)
        with Held(ns, count) as held:
            assert held.said == f"held {count} failures 0", held.said
            assert watch.descriptors(proxy.worker) == descriptors + 2 * count
            for _ in range(2):
                said = held.echo()
                assert said == f"alive {count}", said
        wait_until(lambda: watch.descriptors(proxy.worker) == descriptors, 30 * tap.slowdown(),
                   "the descriptors to be closed")


def test_memory_of_an_idle_connection():
    "4,000 idle control connections hold at most 2 KiB each of the process's memory"
    if watch.bound(1) > 1:
        raise Skip("a sanitizer's own memory comes on top")
    count = _no_more_than_the_descriptors(IDLE)
    with relayed() as (ns, proxy):
        before = watch.rss(proxy.worker)
        with Held(ns, count) as held:
            assert held.said == f"held {count} failures 0", held.said
            each = (watch.rss(proxy.worker) - before) / count
            tap.comment(f"{count} connections, {each:.0f} octets each")
            assert each <= OCTETS_AN_IDLE_CONNECTION, f"{each:.0f} octets each"


if __name__ == "__main__":
    tap.main()
