#!/usr/bin/python3
"""Control connections: how many come up a second and at what cost, what an idle one holds, how long a call takes.

    sudo python3 bench/sessions.py [--quick]

One network namespace with its loopback: clients and a server of our own (sessions.c), and between them nothing, haproxy
(TCP mode, one thread), or the program. All say the same octets: connect, Start-Control-Connection-Request and -Reply,
close. Rounds are short and take turns, forward and backward; systems are compared by the median of the ratios within the
rounds. The middle boxes' own processor time is the steadier figure where the machine has other work.
"""

import argparse
import csv
import re
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from lab import netns, proc, watch  # noqa: E402
from lab.proxy import READY, program  # noqa: E402

SESSIONS = ROOT / "build/bench/sessions"
PORT = "1723"
SERVER = "127.2.0.1"
PARALLEL = 32
HELD = 4000
DIRECT, HAPROXY, OURS = "no middle box", "haproxy", "pptpproxy"
RATE, CPU, LATENCY, MEMORY = "set-up rate", "processor time", "call set-up", "memory"
UNITS = {RATE: "sessions/s", CPU: "us/session", LATENCY: "us", MEMORY: "octets/idle connection"}
HAPROXY_CONFIG = f"""
global
    nbthread 1
    maxconn 9500
defaults
    mode tcp
    timeout connect 10s
    timeout client 600s
    timeout server 600s
listen control
    bind {{address}}:{PORT}
    server one {SERVER}:{PORT}
"""


class System:
    """What clients connect to."""

    def __init__(self, name, address, process):
        self.name, self.address, self.process = name, address, process

    def sum(self, used):
        """What its processes have used: one, or keeper and worker; 0 where there is none."""
        pids = [self.process.pid, watch.worker(self.process.pid)] if self.process else []
        return sum(used(pid) for pid in pids if pid)


class Place:
    """The namespace with all systems running; those that do not have their turn are idle."""

    def __init__(self, stack):
        self.ns = stack.enter_context(closing(netns.Namespace("sessions")))
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=netns.RUN_PREFIX)))
        self.stack = stack
        # A second after its end a connection's port may serve again: that is the kernel's default on the loopback.
        self.ns.sysctl("net.ipv4.tcp_tw_reuse", 2)
        self.ns.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
        self.ns.sysctl("net.core.somaxconn", 4096)
        self._start([SESSIONS, "serve", SERVER, PORT], "server").wait_line("ready")
        self.systems = [System(DIRECT, SERVER, None), self._haproxy("127.1.0.1"), self._ours("127.1.0.2")]

    def _start(self, words, name):
        return self.stack.enter_context(self.ns.popen(words, name=name))

    def _haproxy(self, address):
        config = self.directory / "haproxy.cfg"
        config.write_text(HAPROXY_CONFIG.format(address=address))
        process = self._start(["haproxy", "-db", "-q", "-f", config], "haproxy")
        proc.wait_until(lambda: self.listens(address), 10, "haproxy to listen")
        return System(HAPROXY, address, process)

    def _ours(self, address):
        """With its log as it is by default, in a file."""
        log = self.directory / "log"
        process = self._start([program(), "-n", "-l", log, "-p", f"{address}:{PORT},{SERVER}:{PORT}"], "pptpproxy")
        proc.wait_until(lambda: log.exists() and re.search(READY, log.read_text()), 10, "pptpproxy to listen")
        return System(OURS, address, process)

    def listens(self, address):
        return address in self.ns.run(["ss", "-Hltn"]).stdout

    def client(self, mode, system, *words):
        """What sessions.c says, as numbers; all sessions must have been good."""
        said = self.ns.run([SESSIONS, mode, system.address, PORT, *words], timeout=120).stdout
        value, failures = re.fullmatch(r"\w+ ([\d.]+) failures (\d+)\n", said).groups()
        if int(failures):
            raise AssertionError(f"{system.name}: {failures} sessions failed: no figure counts")
        return float(value)


def _rates(place, rounds, seconds, report):
    for number in range(rounds):
        for system in place.systems[::-1 if number % 2 else 1]:
            report.progress(f"{RATE}: round {number + 1} of {rounds}: {system.name}")
            before = system.sum(watch.cpu)
            rate = place.client("rate", system, PARALLEL, seconds)
            yield system.name, RATE, UNITS[RATE], number + 1, rate
            if system.process:
                spent = system.sum(watch.cpu) - before
                yield system.name, CPU, UNITS[CPU], number + 1, spent / (rate * seconds) * 1e6


def _latencies(place, rounds, count, report):
    for number in range(rounds):
        for system in place.systems[::-1 if number % 2 else 1]:
            report.progress(f"{LATENCY}: round {number + 1} of {rounds}: {system.name}")
            yield system.name, LATENCY, UNITS[LATENCY], number + 1, place.client("latency", system, count)


def _memory(place, report):
    """What is held more with idle connections than before them."""
    for system in place.systems[1:]:
        report.progress(f"{MEMORY}: {HELD:,} idle connections: {system.name}")
        before = system.sum(watch.rss)
        words = [str(word) for word in (SESSIONS, "hold", system.address, PORT, HELD)]
        with place.ns:
            client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with client:
            said = client.stdout.readline()
            if said != f"held {HELD} failures 0\n":
                raise AssertionError(f"{system.name}: {said.strip() or 'the client ended'}")
            held = system.sum(watch.rss) - before
            client.stdin.close()
        yield system.name, MEMORY, UNITS[MEMORY], 1, held / HELD


def measure(report, quick):
    """Records: (system, metric, unit, round, value)."""
    rounds, seconds = (7, 0.4) if quick else (25, 0.6)
    records = []
    with ExitStack() as stack:
        place = Place(stack)
        # First: a process that has had much to do holds memory that it would use again.
        records += _memory(place, report)
        records += _latencies(place, 3 if quick else 9, 200, report)
        records += _rates(place, rounds, seconds, report)
    return records


def _values(records, system, metric):
    return {record[3]: record[4] for record in records if record[:2] == (system, metric)}


def _paired(records, metric, one, other, compare):
    """The median of what compares one's figure with the other's in the same round."""
    ones, others = _values(records, one, metric), _values(records, other, metric)
    return statistics.median(compare(value, others[number]) for number, value in ones.items())


def targets(records):
    """(what, measured, least): each a ratio that is better the greater it is."""
    def ratio(one, other):
        return one / other

    added = _paired(records, LATENCY, OURS, DIRECT, lambda one, other: max(one - other, 1))
    return [
        ("set-up rate / haproxy's", _paired(records, RATE, OURS, HAPROXY, ratio), 0.95),
        (f"2 KiB / memory an idle connection, {HELD:,} held", 2048 / _values(records, OURS, MEMORY)[1], 1),
        ("1 ms / what the program adds to a call's set-up", 1000 / added, 1),
    ]


def _cell(records, system, metric):
    values = _values(records, system, metric)
    return f"{statistics.median(values.values()):,.0f}" if values else "-"


def run(report, quick):
    """Measures, says it, writes sessions.csv; answers targets()."""
    records = measure(report, quick)
    report.say()
    report.say("Control connections, medians of rounds")
    report.say("".ljust(46) + "".join(f"{system:>14}" for system in (DIRECT, HAPROXY, OURS)))
    for metric, unit in UNITS.items():
        cells = (_cell(records, system, metric) for system in (DIRECT, HAPROXY, OURS))
        report.say(f"{metric}, {unit}".ljust(46) + "".join(f"{cell:>14}" for cell in cells))
    cost = _paired(records, CPU, OURS, HAPROXY, lambda one, other: one / other)
    report.say(f"processor time a session / haproxy's, median of paired rounds: {cost:.2f}")
    report.table("sessions.csv", ("system", "metric", "unit", "round", "value"),
                 [(*record[:4], f"{record[4]:.2f}") for record in records])
    return targets(records)


class Printed:
    """A report for who runs this alone."""

    def say(self, text=""):
        print("\r\033[K" * sys.stdout.isatty() + text, flush=True)

    def progress(self, text):
        if sys.stdout.isatty():
            print(f"\r\033[K{text}", end="", flush=True)

    def table(self, name, header, rows):
        with open(ROOT / "build/bench" / name, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("--quick", action="store_true")
    given = options.parse_args()
    proc.exit_on_signals()
    subprocess.run(["make", "-s", "pptpproxy", "build/bench/sessions"], cwd=ROOT, check=True)
    report = Printed()
    results = run(report, given.quick)
    report.say()
    for what, measured, least in results:
        verdict = "reached" if measured >= least else "MISSED"
        report.say(f"{what:58}{'>= ' + format(least, 'g'):>8}{measured:>9.2f}  {verdict}")


if __name__ == "__main__":
    main()
