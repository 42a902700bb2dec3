"""A long run: hundreds of calls come and go, workers die, the program is upgraded and reloaded, strangers send rubbish.

    Soak(minutes, seed, directory).run()

Two parts. In the first, two fifths of the time, all of that happens; after it the worker and the keeper of that moment stay,
so that a leak has time to show. Reloads, rubbish and calls go on to the end. What the processes use is noted every few
seconds, in samples.csv, and drawn; at the end it must be what it was in the middle, and once all have hung up, what it was
at the start.
"""

import csv
import os
import random
import signal
import socket
import statistics
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from . import messages, tap, turmoil, watch
from .crowd import Crowd
from .errors import LabTimeout
from .fake import World
from .messages import ECHO_RQ, OCRQ, PORT, SCCRQ, build
from .proc import Lines, wait_until
from .proxy import READY
from .turmoil import Installed, KeptMemory

MIB = 1 << 20
SESSIONS, CALLS = 120, 4
RATE = 500  # things that the crowd begins in a second
SAMPLE_S = 2.0
KILL_S, UPGRADE_S, RELOAD_S, CHECK_S, RUBBISH_S = 4.0, 5.0, 7.0, 3.0, 0.5
PARTS = {"middle": (0.5, 0.65), "end": (0.85, 1.0)}  # of the time: what is compared
ROUGH = 0.4  # of the time: deaths and upgrades until then
PLOT = """
set terminal pngcairo size 1000,1150 font "sans,10" background "#ffffff"
set output "{directory}/soak.png"
set datafile separator ","
set xrange [0:*]
set yrange [0:*]
set grid lc "#dddddd"
set key outside right top width 2
set multiplot layout 5,1 title "{title}"
set lmargin 9
set rmargin 24
file = "{directory}/samples.csv"
set arrow 1 from {rough},graph 0 to {rough},graph 1 nohead dt 2 lc "#999999"
set ylabel "MiB"
plot file skip 1 using 1:2 w l lw 2 lc "#1565c0" t "worker's memory", "" skip 1 using 1:3 w l lw 2 lc "#c62828" t "keeper's", \\
	"" skip 1 using 1:8 w l lw 2 lc "#2e7d32" t "kept memory"
set ylabel "descriptors"
plot file skip 1 using 1:4 w l lw 2 lc "#1565c0" t "worker's", "" skip 1 using 1:5 w l lw 2 lc "#c62828" t "keeper's"
set ylabel "threads"
plot file skip 1 using 1:6 w l lw 2 lc "#1565c0" t "worker's", "" skip 1 using 1:7 w l lw 2 lc "#c62828" t "keeper's"
set ylabel "now"
plot file skip 1 using 1:9 w l lw 2 lc "#ef6c00" t "calls", "" skip 1 using 1:10 w l lw 2 lc "#555555" t "connections"
set ylabel "until now"
set xlabel "seconds"
plot file skip 1 using 1:11 w steps lw 2 lc "#c62828" t "deaths", "" skip 1 using 1:12 w steps lw 2 lc "#2e7d32" t "upgrades", \\
	"" skip 1 using 1:13 w steps lw 2 lc "#1565c0" t "reloads"
"""


class Log(Lines):
    """The log file's lines, across its rotation; only those that somebody may wait for are kept, an hour has millions."""

    WORTH = ("ready", "worker", "upgrade", "SIGHUP", "error", "lost", "kept memory", "ending", "stopped")

    def __init__(self, path):
        super().__init__("log")
        self.path, self.count, self.done = path, 0, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _take(self, line):
        self.count += 1
        if any(word in line for word in self.WORTH) or " warning: " in line and "no GRE" not in line:
            self.add(line)

    def _run(self):
        rest, file = b"", None
        while True:
            over = self.done.is_set()
            if file is None and self.path.exists():
                file = open(self.path, "rb")
            data = file.read(1 << 20) if file else b""
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                self._take(line.decode("utf-8", "backslashreplace"))
            if not data:
                if over:
                    return self.end()
                if file and self._left(file):
                    file.close()
                    file = None
                self.done.wait(0.02)

    def _left(self, file):
        """Another file has its name, and is written to."""
        try:
            return os.stat(self.path).st_ino != os.fstat(file.fileno()).st_ino and os.stat(self.path).st_size > 0
        except OSError:
            return False

    def close(self):
        self.done.set()
        self.thread.join(5)


class Rubbish:
    """Whatever nobody should send, from a host that takes no part otherwise."""

    def __init__(self, world, host, seed):
        self.world, self.host, self.random = world, host, random.Random(seed)
        self.inputs = 0
        self.open = []
        with host.ns:
            self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_GRE)

    def _octets(self):
        r = self.random
        return r.choice((
            b"GET / HTTP/1.0\r\n\r\n", bytes(200), b"\xff" * 64, build(SCCRQ)[:r.randrange(1, 156)], build(ECHO_RQ),
            build(SCCRQ, cookie=r.randrange(1 << 32)), build(SCCRQ, length=r.choice((0, 11, 1025, 65535))),
            build(SCCRQ, message_type=r.randrange(2, 9)), build(OCRQ, call_id=5), r.randbytes(r.randrange(1, 400)),
            build(SCCRQ, host=b"nobody") + r.randbytes(r.randrange(1, 2000)), build(r.randrange(2, 99)), b""))

    def connection(self):
        with self.host.ns:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.settimeout(5)
        try:
            sock.connect((self.world.net.inside, PORT + self.random.randrange(2)))
            sock.setblocking(False)
            sock.send(self._octets())
        except OSError:
            pass
        self.inputs += 1
        self.open.append(sock)
        if len(self.open) > 20:
            self.open.pop(self.random.randrange(len(self.open))).close()

    def packet(self):
        r = self.random
        octets = r.choice((r.randbytes(r.randrange(0, 200)), messages.gre(r.randrange(65536), b"x" * r.randrange(100), seq=1),
                           messages.gre(r.randrange(65536), b"x" * 20, length=r.randrange(65536)),
                           messages.gre(r.randrange(65536), b"", flags=r.randrange(65536)), messages.gre(1, b"")[:r.randrange(9)]))
        try:
            self.raw.sendto(octets, (self.world.net.inside, 0))
            self.inputs += 1
        except OSError:
            pass

    def some(self):
        self.connection()
        for _ in range(10):
            self.packet()

    def close(self):
        for sock in self.open:
            sock.close()
        self.open.clear()


class Soak:
    def __init__(self, minutes, seed, directory):
        self.seconds, self.seed, self.directory = minutes * 60, seed, Path(directory)
        self.random = random.Random(seed)
        self.samples, self.kills, self.upgrades, self.reloads, self.refused, self.held, self.checked = [], 0, 0, 0, 0, 0, 0
        self.directory.mkdir(parents=True, exist_ok=True)
        for old in self.directory.glob("*"):
            old.unlink()

    # ---- what happens ----

    def _write(self, bad=False, plain=False):
        lines = [f"proxy 0.0.0.0:{PORT + i},{server.ip}" for i, server in enumerate(self.world.servers)]
        lines += [f"log {self.directory / 'log'}", f"keepalive {self.random.choice((30, 60, 90))}"]
        if not plain and self.reloads % 3 == 1:
            lines.append("proxy 0.0.0.0:1800,192.0.2.1")
        if not plain and self.reloads % 2 == 1:
            lines += ["acl 10.1.0.0/24", "acl 192.0.2.0/24"]
        if bad:
            lines.append(self.random.choice(("keepalive 0", "nonsense", "acl 10.0.0.0/99")))
        (self.directory / "conf").write_text("".join(line + "\n" for line in lines))

    def _until(self, pattern, mark, timeout=20.0):
        """The crowd goes on until the log says that."""
        deadline = time.monotonic() + timeout * tap.slowdown()
        while not self.log.matching(pattern, after=mark):
            assert time.monotonic() < deadline, f"no /{pattern}/\n{self.log.tail()}"
            self.crowd.pace(0.02, RATE)

    def kill(self):
        mark = self.log.mark()
        worker = self.proxy.worker
        self.held += len(self.crowd.open_calls())
        os.kill(worker, signal.SIGKILL)
        self.kills += 1
        self._until(turmoil.GOES_ON, mark)

    def upgrade(self):
        mark = self.log.mark()
        self.installed.replace(self.installed.octets)
        self.held += len(self.crowd.open_calls())
        self.proxy.proc.signal(signal.SIGUSR2)
        self._until(turmoil.UPGRADED, mark)
        self.upgrades += 1

    def reload(self):
        bad = self.random.random() < 0.25
        self._write(bad)
        log = self.directory / "log"
        if log.stat().st_size > 4 * MIB:
            log.rename(self.directory / "log.old")
        mark = self.log.mark()
        self.proxy.proc.signal(signal.SIGHUP)
        self._until(turmoil.NOT_CHANGED if bad else turmoil.CHANGED, mark)
        self.refused += bad
        self.reloads += not bad

    def check(self):
        self.crowd.settle()
        self.checked += self.crowd.check_calls()

    # ---- what is used ----

    def sample(self):
        worker, keeper = watch.worker(self.proxy.pid), self.proxy.pid
        if worker is None:
            return
        try:
            row = [time.monotonic() - self.began, watch.rss(worker) / MIB, watch.rss(keeper) / MIB,
                   watch.descriptors(worker), watch.descriptors(keeper), watch.threads(worker), watch.threads(keeper),
                   os.stat(self.kept.path).st_blocks * 512 / MIB, len(self.crowd.open_calls()), len(self.crowd.sessions),
                   self.kills, self.upgrades, self.reloads]
        except (OSError, KeyError):  # it has just died
            return
        self.samples.append(row)
        with open(self.directory / "samples.csv", "a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow([f"{value:.2f}" if isinstance(value, float) else value for value in row])

    COLUMNS = ("seconds", "worker_MiB", "keeper_MiB", "worker_descriptors", "keeper_descriptors", "worker_threads",
               "keeper_threads", "kept_MiB", "calls", "connections", "kills", "upgrades", "reloads")
    # How much more each may be at the end than in the middle: a share of it, and so much.
    SLACK = {"worker_MiB": (0.05, 1.0), "keeper_MiB": (0.05, 1.0), "worker_descriptors": (0.05, 12), "keeper_descriptors":
             (0.05, 12), "worker_threads": (0, 0), "keeper_threads": (0, 0), "kept_MiB": (0.05, 0.5)}

    def _median(self, part, column):
        low, high = (share * self.seconds for share in PARTS[part])
        at = self.COLUMNS.index(column)
        return statistics.median(row[at] for row in self.samples if low <= row[0] <= high)

    def flat(self):
        """What is not: sentences."""
        wrong = []
        for column, (share, more) in self.SLACK.items():
            middle, end = self._median("middle", column), self._median("end", column)
            factor = watch.bound(1) if column.endswith("MiB") else 1
            if end > middle * (1 + share) + more * factor:
                wrong.append(f"{column}: median {middle:g} in the middle, {end:g} at the end")
        return wrong

    def plot(self):
        title = f"{self.seconds / 60:g} minutes, seed {self.seed}"
        script = PLOT.format(directory=self.directory, rough=ROUGH * self.seconds, title=title)
        done = subprocess.run(["gnuplot"], input=script, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, f"gnuplot: {done.stdout}"

    # ---- the run ----

    def _due(self, what, every):
        now = time.monotonic()
        if now < self.next.setdefault(what, now + every):
            return False
        self.next[what] = now + every * self.random.uniform(0.7, 1.3)
        return True

    def _step(self):
        self.crowd.pace(0.1, RATE)
        if self._due("sample", SAMPLE_S):
            self.sample()
        if self._due("rubbish", RUBBISH_S):
            self.rubbish.some()
        if self._due("check", CHECK_S):
            self.check()
        if self._due("reload", RELOAD_S):
            self.reload()
        if time.monotonic() - self.began < ROUGH * self.seconds:
            if self._due("kill", KILL_S):
                self.kill()
            if self._due("upgrade", UPGRADE_S):
                self.upgrade()

    def _storm(self):
        self.next = {}
        self.crowd.pace(1, RATE)
        idle = self._used()
        self.began = time.monotonic()
        while time.monotonic() - self.began < self.seconds:
            self._step()
        self.check()
        return idle

    def _used(self):
        return {"worker's descriptors": watch.descriptors(self.proxy.worker), "keeper's descriptors":
                watch.descriptors(self.proxy.pid), "worker's threads": watch.threads(self.proxy.worker),
                "keeper's threads": watch.threads(self.proxy.pid)}

    def _empty(self, at_first):
        """All hang up, and nothing is left of them, in either process and in the table."""
        self.rubbish.close()
        self.crowd.hang_up_all()
        self._write(plain=True)  # the pairs that there were at first
        turmoil.reload(self.proxy)
        try:
            wait_until(lambda: not self._crowd_poll() and self._used() == at_first, 20 * tap.slowdown(), "")
        except LabTimeout:
            raise AssertionError(f"all have hung up, and it uses {self._used()}, at first {at_first}") from None
        death = self.log.mark()
        os.kill(self.proxy.worker, signal.SIGKILL)
        left = self.log.wait(turmoil.GOES_ON, 10 * tap.slowdown(), after=death)
        assert left.groups()[1:] == ("0", "0"), f"left in the table: {left[0]}"

    def _crowd_poll(self):
        self.crowd.poll()

    def run(self):
        with ExitStack() as stack:
            self.installed = stack.enter_context(Installed())
            stack.enter_context(self.installed.in_use())
            self.world = stack.enter_context(World(clients=3, servers=2, debug=False, pairs=[], proxy=False))
            self._write()
            with open(self.directory / "samples.csv", "w") as file:
                file.write(",".join(self.COLUMNS) + "\n")
            self.log = Log(self.directory / "log")
            stack.callback(self.log.close)
            self.world.words = ["-c", str(self.directory / "conf")]
            self.proxy = self.world.start(ready=False)
            self.proxy.log = self.world.log = self.log
            self.log.wait(READY, 15 * tap.slowdown())
            self.kept = KeptMemory(self.proxy)
            self._run()
        self.plot()
        wrong = self.flat()
        assert not wrong, "; ".join(wrong)

    def _run(self):
        at_first = self._used()
        self.rubbish = Rubbish(self.world, self.world.clients[2], self.seed)
        with Crowd(self.world, self.seed, SESSIONS, CALLS, packets=0.5, leaving=0.1, clients=2) as self.crowd:
            try:
                self._storm()
                self._empty(at_first)
            finally:
                self.figures = {
                    "minutes": self.seconds / 60, "kills": self.kills, "upgrades": self.upgrades, "reloads": self.reloads,
                    "reloads_refused": self.refused, "calls_opened": self.crowd.opened, "calls_held": self.held,
                    "messages": self.crowd.said, "packets_sent": 2 * self.checked, "packets_arrived": 2 * self.checked,
                    "bad_inputs": self.rubbish.inputs + self.refused, "log_lines": self.log.count}
