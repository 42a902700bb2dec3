"""The program under test, started in a namespace.

    with Proxy(net.firewall, ["-p", net.server.ip]) as proxy:     # ready to take calls
        proxy.log.wait(r"refused", 5)
    # left the block: SIGTERM, and exit status 0 was asserted

The program is $PPTPPROXY, by default pptpproxy in the repository's root. The environment is passed
on, so ASAN_OPTIONS and the like work; tap.py fails the case that a sanitizer's report comes in.
"""

import os
import re
import shlex
import time
from pathlib import Path

from . import watch
from .proc import Lines, Proc, slowdown, wait_until

ROOT = Path(__file__).resolve().parents[2]
# What it says, as regular expressions.
READY = r"ready: "
REFUSED = r"refused"
CONNECTED = r": connected"
CALL_OPENED = r": call opened: "
CALL_ENDED = r": call ended"
CLOSED = r": closed: "
MALFORMED = r": closed: .*malformed"
DROPPED = r": dropped "
NO_GRE = r"warning: .*no GRE from (client|server) ([\d.]+) for 10 s"
SANITIZED = re.compile(rb"__[amt]san_init\b")
START = 15.0 * slowdown()  # seconds to readiness: a loaded machine is slow
STOP = 10.0 * slowdown()  # the program promises 3


def program():
    """The path of the program under test."""
    path = Path(os.environ.get("PPTPPROXY", ROOT / "pptpproxy")).resolve()
    if not path.exists():
        raise RuntimeError(f"{path} is missing: build it first")
    return path


def guest_program():
    """The path of the program for a user-mode-linux guest. A process there has 512 GiB of addresses, and a sanitizer's
    shadow wants more: a sanitized program is replaced by the plain build."""
    path = program()
    if SANITIZED.search(path.read_bytes()):
        path = ROOT / "pptpproxy"
        if not path.exists():
            raise RuntimeError(f"{path} is missing: build it first")
    return path


class Proxy:
    """words      its options, a list or a text that is split like a shell's
    debug      -d as well
    ready      wait until it takes calls; without, the caller watches .log and .proc
    log_file   with "-l FILE" among the words: that file, so that .log reads it
    room       a mount namespace: netns.Room or dns.Etc

    .proc  the process, .log  its lines (proc.Lines), .ns  where it runs
    .pid  the keeper's, .worker  the pid of the one that talks to the network
    .took  seconds until it was ready, which tells how fast this machine is at the moment
    """

    def __init__(self, ns, words, debug=True, ready=True, env=None, log_file=None, name="pptpproxy", cwd=None,
                 room=None):
        words = shlex.split(words) if isinstance(words, str) else list(map(str, words))
        more = shlex.split(os.environ.get("PPTPPROXY_TEST_WORDS", ""))
        argv = [program(), "-n", *(["-d"] if debug else []), *more, *words]
        self.ns = ns
        self.proc = Proc(argv, ns=ns, env=env, name=name, cwd=cwd, room=room)
        self.pid = self.proc.pid
        self.log = self.proc.log
        self._unfollow = None
        if log_file:
            self.log = Lines(f"{name} {os.path.basename(log_file)}")
            self._unfollow = self.log.follow(log_file)
        try:
            if ready:
                self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def wait_ready(self, timeout=START):
        wait_until(lambda: self.log.matching(READY) or not self.proc.running(), timeout, "readiness of the proxy")
        if not self.proc.running():
            raise AssertionError(f"the proxy ended at its start: {self.proc.wait()}\n{self.proc.log.tail()}")
        self.took = time.monotonic() - self.proc.started

    @property
    def worker(self):
        return wait_until(lambda: watch.worker(self.pid), 10, "a worker")

    def running(self):
        return self.proc.running()

    def stop(self):
        """SIGTERM; asserts that it ran until now and ends with status 0."""
        assert self.proc.running(), f"the proxy ended by itself: {self.proc.wait()}\n{self.proc.log.tail(40)}"
        code = self.proc.stop(STOP)
        self._finish()
        assert code == 0, f"the proxy ended with {code}\n{self.proc.log.tail(40)}"

    def wait(self, timeout=STOP):
        """The exit status of one that ends by itself."""
        code = self.proc.wait(timeout)
        self._finish()
        return code

    def kill(self):
        """SIGKILL; asserts nothing."""
        self.proc.kill()
        self._finish()

    def _finish(self):
        if self._unfollow:
            self._unfollow()
            self._unfollow = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None and self.proc.popen.returncode is None:
            self.stop()
        elif self.proc.popen.returncode is None:
            self.kill()
        else:
            self._finish()
