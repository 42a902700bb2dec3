"""Started processes, what they say, and waiting for it.

    p = Proc(["iperf3", "-s", "-1"], ns=net.server)
    p.log.wait(r"Server listening", 5)      # the match, or LabTimeout with the last lines
    p.log.matching(r"connected")            # every line so far that matches
    p.stop()                                # SIGTERM, later SIGKILL; answers the exit status

Standard output and standard error are merged and collected by a thread, so a process never blocks
on a pipe that nobody reads. Only the process itself and its own process group are ever signalled.

Nothing here sleeps for a guessed time: wait_until() looks every 20 ms, Lines.wait() wakes up with
the line. A deadline that says nothing about the program is PATIENCE: it costs only a test that fails
anyway, and a shorter one is a bet on the machine.
"""

import atexit
import os
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import nullcontext

from .errors import LabTimeout

POLL = 0.02


def slowdown():
    """How many times as long as usual everything may take: PPTPPROXY_TEST_SLOWDOWN."""
    return float(os.environ.get("PPTPPROXY_TEST_SLOWDOWN", "1"))


PATIENCE = 10.0 * slowdown()


def wait_until(condition, timeout=PATIENCE, what="a condition"):
    """Call condition() every 20 ms until it answers something true, and return that."""
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        if late:
            raise LabTimeout(f"{what}: not within {timeout:g} s")
        time.sleep(POLL)


def together(*functions):
    """Call them all at the same time, each in a thread; returns their results in order. If some
    fail, the first one's exception is raised once all have ended."""
    results = [None] * len(functions)
    errors = [None] * len(functions)

    def run(index):
        try:
            results[index] = functions[index]()
        except BaseException as error:
            errors[index] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        if error is not None:
            raise error
    return results


class Lines:
    """Lines of text that arrive over time, from one source, seen by any thread.

    Each line has its number, counted from 0: mark() is the number of the next one, so
    wait(..., after=mark) sees only what comes later.
    """

    def __init__(self, name):
        self.name = name
        self.times = []
        self._lines = []
        self._ended = False
        self._changed = threading.Condition()
        _diary.append(self)

    def add(self, line):
        with self._changed:
            self._lines.append(line)
            self.times.append(time.monotonic())
            self._changed.notify_all()

    def end(self):
        """No more lines will come: those who wait are told at once."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def mark(self):
        with self._changed:
            return len(self._lines)

    def all(self, after=0):
        with self._changed:
            return self._lines[after:]

    def text(self):
        return "".join(line + "\n" for line in self.all())

    def matching(self, pattern, after=0):
        """The lines (str) so far in which the regular expression is found."""
        found = re.compile(pattern)
        return [line for line in self.all(after) if found.search(line)]

    def wait(self, pattern, timeout=PATIENCE, after=0, count=1):
        """The match object of the count-th line that matches, waited for up to timeout seconds.

        LabTimeout if it does not come, or if the source ends without it.
        """
        found = re.compile(pattern)
        deadline = time.monotonic() + timeout
        seen, at = 0, after
        with self._changed:
            while True:
                while at < len(self._lines):
                    match = found.search(self._lines[at])
                    at += 1
                    if match:
                        seen += 1
                        if seen == count:
                            return match
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    break
                self._changed.wait(left)
            ended = self._ended
        why = "it ended" if ended else f"not within {timeout:g} s"
        times = f" {count} times (seen {seen})" if count > 1 else ""
        raise LabTimeout(f"{self.name}: no line /{pattern}/{times}: {why}\n{self.tail()}")

    def tail(self, count=20):
        lines = self.all()
        cut = [f"  ({len(lines) - count} lines before)"] if len(lines) > count else []
        return "\n".join([f"last lines of {self.name}:", *cut, *(f"  {line}" for line in lines[-count:])])

    def read_from(self, fd):
        """Collect from this descriptor, in a thread of its own, until its end; closes it."""
        thread = threading.Thread(target=self._read, args=(fd,), daemon=True)
        thread.start()
        return thread

    def _read(self, fd):
        rest = b""
        while True:
            try:
                data = os.read(fd, 65536)
            except OSError:  # a pty's other side is gone: EIO
                data = b""
            if not data:
                break
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                self.add(line.decode("utf-8", "backslashreplace"))
        if rest:
            self.add(rest.decode("utf-8", "backslashreplace"))
        os.close(fd)
        self.end()

    def read_from_datagrams(self, sock):
        """Collect syslog datagrams ("<30>Mon  1 00:00:00 name: text") until the socket is shut down."""

        def run():
            while True:
                try:
                    data = sock.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    break
                text = data.rstrip(b"\0\n").decode("utf-8", "backslashreplace")
                self.add(re.sub(r"^<\d+>(\w{3} [ \d]\d \d\d:\d\d:\d\d )?", "", text))
            sock.close()
            self.end()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def follow(self, path):
        """Collect what is appended to this file, which need not exist yet. Returns a function that ends it."""
        done = threading.Event()

        def run():
            rest = b""
            while not os.path.exists(path):
                if done.wait(POLL):
                    return self.end()
            with open(path, "rb") as file:
                while True:
                    over = done.is_set()
                    data = file.read(1 << 20)
                    *whole, rest = (rest + data).split(b"\n")
                    for line in whole:
                        self.add(line.decode("utf-8", "backslashreplace"))
                    if not data and (over or done.wait(POLL)) and over:
                        return self.end()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def finish():
            done.set()
            thread.join(5)

        return finish


class Proc:
    """A process that was started here, and what it said.

    argv      the words; argv[0] is searched in PATH
    ns        a netns.Namespace to start in (default: where the calling thread is)
    room      a netns.Room to start in
    env       additions to the environment
    stdin, stdout   descriptors; by default /dev/null, and the collecting thread
    """

    def __init__(self, argv, ns=None, room=None, env=None, name=None, stdin=None, stdout=None, cwd=None):
        self.argv = [os.fspath(word) for word in argv]
        self.name = name or os.path.basename(self.argv[0])
        self.log = Lines(self.name)
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            self.popen = _spawn(
                self.argv, ns, room,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=write_end if stdout is None else stdout,
                stderr=write_end,
                env={**os.environ, **env} if env else None,
                cwd=cwd,
                start_new_session=True,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        self.pid = self.popen.pid
        self.started = time.monotonic()
        self._reader = self.log.read_from(read_end)
        _running.add(self)

    def wait_line(self, pattern, timeout=PATIENCE, after=0, count=1):
        return self.log.wait(pattern, timeout, after, count)

    def lines(self, pattern="", after=0):
        return self.log.matching(pattern, after)

    def text(self):
        return self.log.text()

    def running(self):
        return self.popen.poll() is None

    def wait(self, timeout=PATIENCE):
        """The exit status (negative: the signal that ended it), waited for up to timeout seconds."""
        try:
            code = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabTimeout(f"{self.name} ({self.pid}) still runs after {timeout:g} s\n{self.log.tail()}") from None
        self._settle()
        return code

    def signal(self, number):
        """Send a signal to the process alone."""
        if self.running():
            self.popen.send_signal(number)

    def stop(self, timeout=PATIENCE):
        """SIGTERM; SIGKILL to the whole group if it has not ended in time. Returns the exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except LabTimeout:
            self.log.add(f"[did not end on SIGTERM within {timeout:g} s: killed]")
            return self.kill()

    def kill(self):
        """SIGKILL to the process group. Returns the exit status."""
        if self.running():
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        code = self.popen.wait()
        self._settle()
        return code

    def _settle(self):
        # A grandchild may hold the pipe open; what it says later is not waited for.
        self._reader.join(slowdown())
        _running.discard(self)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def __repr__(self):
        return f"<{self.name} {self.pid}>"


def _spawn(argv, ns, room, **options):
    """Popen in a namespace and a room. Namespaces belong to a thread, and a room cannot be left
    again, so with a room a thread is spent on it."""

    def start():
        with ns or nullcontext():
            if room is not None:
                room.enter()
            return subprocess.Popen(argv, **options)

    if room is None:
        return start()
    result = []

    def run():
        try:
            result.append(start())
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


def datagram_socket(path):
    """A datagram socket bound to this path, as a syslog daemon has one."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    sock.bind(path)
    os.chmod(path, 0o666)  # whoever logs need not be root
    return sock


# What was collected since forget(): the runner shows the ends of it where a test fails.
_diary = []
_running = set()


def diary():
    return [lines for lines in _diary if lines.mark()]


def forget():
    _diary.clear()


def stop_all():
    """Kill what is still running, whoever forgot it."""
    for proc in list(_running):
        proc.kill()


def exit_on_signals():
    """SIGTERM and SIGHUP unwind like SIGINT does, so that every `with` gets to clean up. (And SIGINT
    does so even in a shell's background job, which is born ignoring it.)"""

    def leave(number, frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


atexit.register(stop_all)
