"""What is compared: middle boxes between a source and a sink of PPTP packets.

A System, made for a number of calls, is a network with the middle box in it and all calls up; round() sends packets
through it for a moment. Unavailable says why one cannot be had here; WrongPackets ends the run, as a rate made of wrong
packets is none.
"""

import os
import re
import subprocess
from pathlib import Path

from lab.errors import LabTimeout
from lab.proc import Proc, wait_until
from lab.proxy import READY, Proxy

import network

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/bench"
CALLS_A_CONNECTION = 64
MAKING_CALLS = 120.0
SOURCE_CPU = min(os.sched_getaffinity(0))  # all that the kernel does for frames happens here
PROGRAM_CPU = max(os.sched_getaffinity(0))  # a relay's process


class Unavailable(Exception):
    """This system cannot run here."""


class WrongPackets(Exception):
    """A packet came out that should not have come so."""


class Round:
    """What one round has shown: packets sent, and come right, within so many seconds; and what a relay's process spent."""

    def __init__(self, words, cpu_ns):
        self.seconds = float(words["seconds"])
        self.sent, self.right = int(words["sent"]), int(words["right"])
        self.sent_in_all, self.right_in_all = int(words["sent_in_all"]), int(words["right_in_all"])
        self.cost = cpu_ns / self.right_in_all if cpu_ns and self.right_in_all else None  # ns of CPU time a packet

    @property
    def rate(self):
        return self.right / self.seconds

    @property
    def delivered(self):
        return self.right / self.sent if self.sent else 0.0


class System:
    """name      as the tables have it
    counts    numbers of calls with which it is tried, or None for all
    sink      what suits the way out: "xdp" for frames, "tc" for what the stack sends
    """

    name = ""
    counts = None
    sink = "xdp"
    unchanged = False  # packets arrive as they were sent

    def __init__(self, calls, directory):
        self.calls = calls
        self.rows = directory / f"{type(self).__name__}-{calls}.rows"
        self.network = network.Network(f"{type(self).__name__.lower()}-{calls}")
        self.processes = []
        self.relay = None  # pid of the process that carries the packets, where one does
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        raise NotImplementedError

    def _keep(self, process):
        self.processes.append(process)
        return process

    def _run(self, ns, *words, cpu=None):
        """A program of the benchmark's own, in this namespace, once it is ready."""
        read_end, self._write_end = os.pipe2(os.O_CLOEXEC)
        process = self._keep(Proc(list(map(str, words)), ns=ns, stdin=read_end))
        os.close(read_end)
        process.stdin = self._write_end
        if cpu is not None:
            pin(process.pid, cpu)
        try:
            process.wait_line(r"^ready$", MAKING_CALLS)
        except LabTimeout:
            raise Unavailable(process.log.tail(1).splitlines()[-1].strip()) from None
        return process

    def make_calls(self, dialled, a_connection=CALLS_A_CONNECTION):
        words = ["-n", self.calls, "-k", min(a_connection, self.calls), "-r", self.rows,
                 "-c", network.path(self.network.client), "-s", network.path(self.network.server)]
        for address in network.CLIENTS:
            words += ["-a", address]
        for address in dialled:
            words += ["-d", address]
        self._run(None, BUILD / "calls", *words)

    def invent_calls(self):
        """For those who take part in no control connection: addresses and IDs alone."""
        with open(self.rows, "w") as file:
            for number in range(self.calls):
                client = network.CLIENTS[number % len(network.CLIENTS)]
                server = network.SERVERS[number // len(network.CLIENTS) % len(network.SERVERS)]
                shown = number * 40503 % 65536
                given = (number * 25173 + 13849) % 65536
                file.write(f"{client} {network.INNER} {network.OUTER} {server} {shown} {given} {given} {shown}\n")

    def ends(self, direction):
        """Where packets enter, the firewall's device that takes them, and where they arrive."""
        net = self.network
        up = (net.client, "eth0"), (net.firewall, "inside"), (net.server, "eth0")
        down = (net.server, "eth0"), (net.firewall, "outside"), (net.client, "eth0")
        return up if direction == "up" else down

    def round(self, payload, direction, warm_ms, window_ms):
        source, middle, sink = self.ends(direction)
        words = [BUILD / "source", "-o", BUILD, "-f", network.path(*source), "-t", network.path(*sink),
                 "-k", self.sink, "-r", self.rows, "-d", direction, "-m", network.mac(*middle), "-p", payload,
                 "-w", warm_ms, "-s", window_ms, "-c", SOURCE_CPU] + (["-u"] if self.unchanged else [])
        before = cpu_time(self.relay)
        done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        spent = cpu_time(self.relay) - before
        if done.returncode:
            raise RuntimeError(f"{self.name}, {self.calls} calls: {done.stderr.strip()}")
        said = dict(re.findall(r"(\w+)=(\S+)", done.stdout))
        if int(said["wrong"]):
            raise WrongPackets(f"{self.name}, {self.calls} calls, {payload} octets, {direction}: {said['wrong']} packets "
                               f"came out wrong\n{done.stdout}")
        return Round(said, spent)

    def warm_up(self):
        """Each call's packets have come through at least once in each direction."""
        for direction in ("up", "down"):
            sent = 0
            while sent < self.calls + 64:
                sent += self.round(64, direction, 0, 40).sent_in_all

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            if getattr(process, "stdin", None) is not None:
                os.close(process.stdin)
        self.processes = []
        self.network.close()


def pin(pid, cpu):
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), {cpu})


def cpu_time(pid):
    """Nanoseconds that a process's threads have run, 0 for none."""
    if pid is None:
        return 0
    tasks = os.listdir(f"/proc/{pid}/task")
    return sum(int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0]) for task in tasks)


class NoMiddleBox(System):
    """The sink is at the other end of the source's own cable."""

    name = "no middle box"
    unchanged = True

    def start(self):
        self.invent_calls()

    def ends(self, direction):
        source, middle, _ = super().ends(direction)
        return source, middle, middle


class Redirect(System):
    name = "XDP that only redirects"
    unchanged = True

    def start(self):
        self.invent_calls()
        self._run(self.network.firewall, BUILD / "redirect", BUILD / "redirect.bpf.o", "inside", "outside")


class Naive(System):
    name = "naive relay"
    sink = "tc"

    def start(self):
        self.network.take_frames()
        self.invent_calls()
        self.relay = self._run(self.network.firewall, BUILD / "naive_relay", self.rows, cpu=PROGRAM_CPU).pid


class Raw(System):
    """Two pairs, as there are two servers."""

    name = "pptpproxy: raw sockets"
    sink = "tc"
    options = []

    def start(self):
        self.network.take_frames()
        proxy = self._start_proxy()
        self.relay = proxy.worker if self.sink == "tc" else None
        self.make_calls([f"{network.INNER}:1723", f"{network.INNER}:1724"])

    def _start_proxy(self):
        words = ["-p", f"{network.INNER}:1723,{network.SERVERS[0]}", "-p", f"{network.INNER}:1724,{network.SERVERS[1]}"]
        proxy = self._keep(Proxy(self.network.firewall, words + self.options, debug=False, ready=False))
        wait_until(lambda: proxy.log.matching(READY) or not proxy.running(), 15, "pptpproxy's readiness")
        if not proxy.running():
            proxy.wait()
            said = proxy.log.all()
            reasons = [line for line in said if "fastpath" in line or "fast path" in line or "error" in line] or said
            raise Unavailable(reasons[0].strip() if reasons else "it ended and said nothing")
        for pid in (proxy.pid, proxy.worker):
            pin(pid, PROGRAM_CPU)
        return proxy


class Fast(Raw):
    name = "pptpproxy: fast path"
    sink = "xdp"
    options = ["--fastpath", "native", "--fastpath-interface", "inside", "--fastpath-interface", "outside"]

    def start(self):
        self.network.send_frames()
        super().start()


class Generic(Raw):
    """The fast path for drivers without native XDP: frames have become the stack's packets by then."""

    name = "pptpproxy: generic XDP"
    counts = (1, 1000, 10000)
    options = ["--fastpath", "generic", "--fastpath-interface", "inside", "--fastpath-interface", "outside"]


class Nat(System):
    """The helper knows one call a control connection, and walks a list of all calls for each packet."""

    name = "Linux NAT with PPTP helper"
    sink = "tc"
    counts = (1, 100, 1000, 10000)
    RULES = """
        table ip bench {
            ct helper pptp { type "pptp" protocol tcp; }
            chain helped { type filter hook prerouting priority 0; tcp dport 1723 ct helper set "pptp"; }
            chain translated { type nat hook postrouting priority srcnat; oifname "outside" snat to %s; }
        }""" % network.OUTER

    def start(self):
        firewall = self.network.firewall
        self.network.take_frames()
        done = firewall.run(["nft", self.RULES], check=False)
        if done.returncode:
            raise Unavailable(done.stderr.strip().splitlines()[0])
        firewall.sysctl("net.ipv4.ip_forward", 1)
        for name in ("gre_timeout", "gre_timeout_stream"):
            firewall.sysctl(f"net.netfilter.nf_conntrack_{name}", 3600)
        firewall.run(["conntrack", "-F"])
        self.make_calls([f"{server}:1723" for server in network.SERVERS], a_connection=1)


ALL = [NoMiddleBox, Redirect, Fast, Generic, Raw, Nat, Naive]
