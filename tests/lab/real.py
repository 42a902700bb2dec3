"""Real peers: Debian's pptpd and pptp, each with a PPP end of ours (tests/ppp_end) behind it.

    with DualHomed() as net, Pptpd(net.server) as pptpd, Proxy(...), Call(net.client, net.inside) as call:
        call.wait_up()
        call.ping()
        call.iperf(pptpd, seconds=5)
        call.hang_up()

What runs where:

    client's namespace                                            server's namespace
      TUN - ppp_end - pty - pptp  ==TCP 1723, GRE==>  pptpctrl - pty - ppp_end - TUN
                            \\_ call manager          (a child of pptpd for each call)

pptp and pptpd log to syslog alone and use fixed paths, so each pptpd and each call has a room
(netns.Room) of its own: .syslog has their lines. Two calls with one room share a call manager.
"""

import ctypes
import json
import os
import pty
import re
import shutil
import signal
import socket
import struct
import tempfile
import termios
import tty
from pathlib import Path

from . import tap
from .errors import LabTimeout, Skip
from .netns import RUN_PREFIX, Room, need
from .proc import Lines, Proc, wait_until

ROOT = Path(__file__).resolve().parents[2]
SO_ATTACH_FILTER = 26
UP = r"up device=(\S+) local=(\S+) remote=(\S+) mtu=(\d+) after=(\d+)ms"
END = r"end reason=(\S+) "
# Impatient: a test's own mistake should not cost 3 s, and a slow machine not the call. Echo requests
# as pppd's usual options have them, but more: under overload pptpd was seen to wait for its PPP end
# to say something, while packets piled up in its socket.
PATIENCE = ("--restart", "1000", "--tries", "40", "--echo-interval", "2000", "--echo-failures", "30")


def ppp_end():
    """The path of the PPP end."""
    path = Path(os.environ.get("PPP_END", ROOT / "build/tests/ppp_end")).resolve()
    if not path.exists():
        raise RuntimeError(f"{path} is missing: build it first")
    if not os.path.exists("/dev/net/tun"):
        raise Skip("the kernel has no TUN device")
    return path


def listening(pid, port):
    """Does something in this process's network namespace listen on this TCP port?"""
    try:
        with open(f"/proc/{pid}/net/tcp") as table:
            return any(re.search(rf":{port:04X} 00000000:0000 0A", line) for line in table)
    except OSError:
        return False


def keep_gre_open(ns):
    """What a host with the kernel's GRE module has: no ICMP protocol-unreachable for protocol 47.

    Without it Linux answers so whenever the only raw GRE socket's buffer is full, which ends the
    calls of pptp and pptpd in the midst of bulk traffic. A second raw socket that takes nothing
    does it. Lives until the namespace closes.
    """
    if ns.gre_socket is not None:
        return
    with ns:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_GRE)
    nothing = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # BPF: return 0
    program = struct.pack("@HP", 1, ctypes.addressof(nothing))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    ns.gre_socket = sock


class Pptpd:
    """A server, ready when made.

    listen          its address (default: any)
    local, remote   the tunnels' addresses on its side and on the callers', as pptpd.conf writes them
    ppp_words       further words for each PPP end
    debug           a line for each GRE packet, among others

    .proc, .syslog, and .ppp (the PPP ends' lines, each starting "ppp_end[pid]")
    """

    PORT = 1723

    def __init__(self, ns, listen=None, local="10.8.0.1-100", remote="10.9.0.1-100", ppp_words=(), debug=False,
                 name="pptpd"):
        need("pptpd")
        keep_gre_open(ns)
        self.ns = ns
        self.name = name
        self.proc = None
        self.room = Room(name)
        self.syslog = self.room.syslog
        self.ppp = Lines(f"PPP ends of {name}")
        self._directory = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
        try:
            self._prepare(local, remote, ppp_words, debug)
            words = ["pptpd", "--fg", "--conf", self._directory / "pptpd.conf",
                     "--pidfile", self._directory / "pid"]
            if listen:
                words += ["--listen", listen]
            self.proc = Proc(words, ns=ns, room=self.room, name=name)
            wait_until(lambda: listening(self.proc.pid, self.PORT) or not self.proc.running(), what=f"{name} to listen")
            if not self.proc.running():
                raise AssertionError(f"{name} ended at its start\n{self.proc.log.tail()}\n{self.syslog.tail()}")
        except BaseException:
            self.close()
            raise

    def _prepare(self, local, remote, ppp_words, debug):
        pipe, start, conf = (self._directory / name for name in ("log", "ppp", "pptpd.conf"))
        os.mkfifo(pipe)
        # Both ways: the reader then never sees an end while no PPP end lives.
        self._pipe = os.open(pipe, os.O_RDWR | os.O_CLOEXEC)
        self.ppp.read_from(os.dup(self._pipe))
        words = " ".join(map(str, [ppp_end(), "--log", pipe, *PATIENCE, *ppp_words]))
        start.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        start.chmod(0o755)
        conf.write_text(f"ppp {start}\nlocalip {local}\nremoteip {remote}\nconnections 100\n"
                        + ("debug\n" if debug else ""))

    def wait_up(self, call, timeout=15 * tap.slowdown()):
        """The server's own PPP end of this call is up as well (call.wait_up() came before)."""
        self.ppp.wait(rf"up device=\S+ local={re.escape(call.remote)} remote={re.escape(call.local)} ", timeout)

    def children(self):
        """pids of everything but pptpd itself: a pptpctrl and a PPP end for each call."""
        return [pid for pid in self.room.pids() if pid != self.proc.pid]

    def kill(self):
        """The machine's power fails, as far as one process group can: SIGKILL to all of it."""
        self.room.kill()
        self.proc.wait()

    def close(self):
        if self.proc is not None and self.proc.running():
            self.proc.stop()
        self.room.close()
        if self._directory.exists():
            if hasattr(self, "_pipe"):
                os.write(self._pipe, b"[closed]\n")
                os.close(self._pipe)
            shutil.rmtree(self._directory)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def _stuck(pid):
    """pptp 1.10 calls syslog() in its signal handler. If its call manager's signal finds it in
    syslog() already (its PPP end closed at the same moment: about one time in 300), it waits for
    its own lock for ever. All but itself is gone by then, so that is no business of a test's."""
    try:
        with open(f"/proc/{pid}/wchan") as file:
            return "futex" in file.read()
    except OSError:
        return False


class Call:
    """A client's call to a server's (or proxy's) address; it begins when made, wait_up() waits for PPP.

    local_bind  pptp's --localbind
    room        for calls that are to share a call manager
    words       further words for pptp;  ppp_words: for the PPP end

    .pptp, .ppp   the two processes;  .syslog  what pptp and its call manager say
    .device, .local, .remote, .up_ms      after wait_up()
    """

    def __init__(self, ns, server, local_bind=None, room=None, words=(), ppp_words=(), name="call"):
        need("pptp")
        keep_gre_open(ns)
        self.ns, self.server, self.name = ns, server, name
        self.device = self.local = self.remote = self.pptp = self.ppp = None
        self._both_up = False
        self.room = room or Room(name)
        self._own_room = room is None
        self.syslog = self.room.syslog
        argv = ["pptp", server, "--nolaunchpppd", "--nohostroute", "--loglevel", "1", *words]
        if local_bind:
            argv += ["--localbind", local_bind]
        try:
            master, slave = pty.openpty()
            try:
                # Before either program is there: what the one writes must not be echoed or cooked.
                tty.setraw(slave, termios.TCSANOW)
                self.pptp = Proc(argv, ns=ns, room=self.room, stdin=slave, stdout=slave, name=f"pptp of {name}")
                self.ppp = Proc([ppp_end(), *PATIENCE, *ppp_words], ns=ns, stdin=master, stdout=master,
                                name=f"PPP end of {name}")
            finally:
                os.close(master)
                os.close(slave)
        except BaseException:
            self.close()
            raise

    def wait_up(self, timeout=20 * tap.slowdown()):
        """PPP is up: the device has its addresses. Returns self."""
        try:
            up = self.ppp.wait_line(UP, timeout)
        except LabTimeout as error:
            raise LabTimeout(f"{error}\n{self.syslog.tail()}") from None
        self.device, self.local, self.remote = up[1], up[2], up[3]
        self.up_ms = int(up[5])
        return self

    def _ping(self, size, patience):
        return self.ns.run(["ping", "-n", "-I", self.device, "-c", 1, "-W", patience, "-s", size, self.remote], check=False,
                           timeout=patience + 30)

    def ping(self, count=3, size=56, patience=None):
        """Every one of count pings through the tunnel is answered. Returns the mean time in ms.

        Before the first one it is waited for the server's own end of PPP: that is up a little later than ours, perhaps,
        and drops what comes before.

        One after the other: of several, ping(8) waits for the last reply only as long as its interval, or
        twice as long as the slowest took, whatever -W says; on a busy machine that may be too short.
        """
        patience = patience or 10 * tap.slowdown()
        if not self._both_up:
            wait_until(lambda: " 1 received" in self._ping(56, 1).stdout, what=f"the first answer to {self.name}")
            self._both_up = True
        times = []
        for number in range(1, count + 1):
            done = self._ping(size, patience)
            assert " 1 received" in done.stdout, (f"ping {number} of {self.name} got lost\n"
                                                  f"{done.stdout}{done.stderr}")
            times.append(float(re.search(r"= [\d.]+/([\d.]+)/", done.stdout)[1]))
        return sum(times) / count

    def iperf(self, pptpd, seconds=5, reverse=False, window="64K", words=(), server_words=()):
        """TCP bulk traffic to the server's end (reverse: from it). Returns bits per second, at the receiver.

        The window keeps what is under way below the default socket buffer, which is all that pptp
        and pptpd have; with None they lose packets by the dozen, which slows TCP down much.
        words are for the client, server_words for the server; two at once need a port each ("-p").
        """
        need("iperf3")
        server = pptpd.ns.popen(["iperf3", "-s", "-1", "--forceflush", "-B", self.remote, *server_words],
                                 name="iperf3 server")
        try:
            server.wait_line(r"Server listening")
            argv = ["iperf3", "-c", self.remote, "-B", self.local, "-t", str(seconds), "-J", *words]
            argv += ["-R"] if reverse else []
            argv += ["-w", window] if window else []
            client = self.ns.popen(argv, name="iperf3 client")
            try:
                code = client.wait(seconds + 30)
            finally:
                client.kill()
            # iperf3 reports its errors in the JSON as well.
            result = json.loads(client.text() or "{}")
            if code or "error" in result:
                raise AssertionError(f"iperf3 of {self.name}: {result.get('error', code)}\n"
                                     f"{self.ppp.log.tail()}\n{self.syslog.tail()}")
            server.wait(10)
        finally:
            server.kill()
        end = result["end"]
        return (end.get("sum_received") or end["sum"])["bits_per_second"]

    def up(self):
        """PPP was up and has not ended."""
        return self.ppp.running() and self.pptp.running() and bool(self.ppp.lines(UP))

    def hang_up(self, timeout=15 * tap.slowdown()):
        """As a user does: PPP is terminated, pptp clears the call and ends."""
        self.ppp.signal(signal.SIGTERM)
        self.wait_gone(timeout)
        reason = self.ppp.log.wait(END)[1]
        assert reason == "closed", f"{self.name} hung up, but ended by: {reason}\n{self.ppp.log.tail()}"

    def kill(self):
        """SIGKILL to everything on the client's side."""
        self.ppp.kill()
        self.room.kill()
        self.pptp.wait()

    def wait_gone(self, timeout=15 * tap.slowdown()):
        """It ended, by whatever cause: PPP end, call manager (unless shared) and pptp."""
        def rest():
            return [pid for pid in self.room.pids() if pid != self.pptp.pid] if self._own_room else []

        wait_until(lambda: not self.ppp.running() and not rest(), timeout, f"{self.name} to end")
        self.ppp.wait()
        wait_until(lambda: not self.pptp.running() or _stuck(self.pptp.pid), timeout, f"pptp of {self.name} to end")
        if self.pptp.running():
            self.pptp.kill()
        self.pptp.wait()

    def close(self):
        for process in (self.ppp, self.pptp):
            if process is not None:
                process.kill()
        if self._own_room:
            self.room.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
