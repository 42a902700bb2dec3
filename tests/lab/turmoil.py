"""What befalls a running program: its worker dies, its file is replaced, its configuration changes.

    death = turmoil.kill(world.proxy)               # SIGKILL to the worker
    death.over()                                    # waits for the next one; its line in the log, a match

    with turmoil.Installed() as installed:          # a copy of the program, to be started and replaced
        with installed.in_use(): world.start()
        installed.replace(octets)
        turmoil.upgrade(world.proxy)                # SIGUSR2, and waits for the line that says so

    turmoil.reload(world.proxy)                     # SIGHUP, and waits for the line that says so
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from . import watch
from .netns import RUN_PREFIX
from .proc import PATIENCE, wait_until
from .proxy import program

GOES_ON = r"worker (\d+) goes on: (\d+) connections, (\d+) calls"
DIED = r"worker {} died: "
UPGRADED = r"upgraded: (pptpproxy \S+), pid (\d+): (\d+) connections, (\d+) calls go on"
NOT_UPGRADED = r"SIGUSR2: no upgrade: "
CHANGED = r"SIGHUP: new configuration in use"
NOT_CHANGED = r"SIGHUP: the configuration stays as it was: "


class Death:
    """The end of one worker. at: when, by time.monotonic(); mark: of the log's first line behind it."""

    def __init__(self, proxy, pid, number):
        self.proxy, self.pid = proxy, pid
        self.mark = proxy.log.mark()
        self.at = time.monotonic()
        os.kill(pid, number)

    def told(self, timeout=PATIENCE):
        """The line about it: its rest, "signal 9 (Killed)"."""
        line = self.proxy.log.wait(DIED.format(self.pid) + "(.*)", timeout, after=self.mark)
        return line[1]

    def over(self, timeout=PATIENCE):
        """The successor is ready: the match of its line, whose groups are pid, connections, calls."""
        return self.proxy.log.wait(GOES_ON, timeout, after=self.mark)


def kill(proxy, number=signal.SIGKILL):
    return Death(proxy, proxy.worker, number)


def wake(proxy, number, line, timeout=PATIENCE):
    """Send the keeper a signal and wait for a line behind it."""
    mark = proxy.log.mark()
    proxy.proc.signal(number)
    return proxy.log.wait(line, timeout, after=mark)


def upgrade(proxy, timeout=PATIENCE):
    return wake(proxy, signal.SIGUSR2, UPGRADED, timeout)


def refused_upgrade(proxy, timeout=PATIENCE):
    """SIGUSR2 that leads to nothing: the reason that the log has."""
    return wake(proxy, signal.SIGUSR2, NOT_UPGRADED + "(.*)", timeout)[1]


def reload(proxy, timeout=PATIENCE):
    return wake(proxy, signal.SIGHUP, CHANGED, timeout)


def refused_reload(proxy, timeout=PATIENCE):
    return wake(proxy, signal.SIGHUP, NOT_CHANGED + "(.*)", timeout)[1]


class Installed:
    """A copy of the program at a path of its own, beside which there is room for other files."""

    def __init__(self):
        self.octets = program().read_bytes()
        self.directory = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
        os.chmod(self.directory, 0o755)
        self.path = self.directory / "pptpproxy"
        self.replace(self.octets)

    def replace(self, octets, mode=0o755):
        """As an installer does it: a new file takes the name of the old one. It is written by a process of its own: what one
        of our threads has just started may have a file that another thread writes, and that cannot be executed."""
        written, new = self.directory / "written", self.directory / "new"
        written.write_bytes(octets)
        subprocess.run(["install", "-m", f"{mode:o}", written, new], check=True)
        new.rename(self.path)

    def with_text(self, pattern, text):
        """The program with a text of its own replaced by another one that is no longer."""
        found = set(re.findall(pattern, self.octets))
        assert len(found) == 1, f"{pattern}: {found}"
        [old] = found
        assert len(text) <= len(old)
        return self.octets.replace(old, text.ljust(len(old), b"\0"))

    @contextmanager
    def in_use(self):
        """What is started within is this copy."""
        before = os.environ.get("PPTPPROXY")
        os.environ["PPTPPROXY"] = str(self.path)
        try:
            yield self
        finally:
            if before is None:
                del os.environ["PPTPPROXY"]
            else:
                os.environ["PPTPPROXY"] = before

    def runs_as(self, pid):
        """Is that the file which is here now?"""
        try:
            return os.stat(f"/proc/{pid}/exe").st_ino == self.path.stat().st_ino
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.directory, ignore_errors=True)


class KeptMemory:
    """The memory that outlives workers, as the keeper has it: a test may damage it, and mend it."""

    VERSION = 8  # where in it: behind a number that tells what it is

    def __init__(self, proxy):
        descriptors = Path(f"/proc/{proxy.pid}/fd")
        self.path = next(fd for fd in descriptors.iterdir() if os.readlink(fd).startswith("/memfd:pptpproxy (deleted)"))

    def _at(self, place, octets=None):
        with open(self.path, "r+b", buffering=0) as file:
            file.seek(place)
            return file.read(8) if octets is None else file.write(octets)

    @contextmanager
    def of_version(self, version):
        """Within, it looks like another version's."""
        before = self._at(self.VERSION)
        self._at(self.VERSION, version.to_bytes(8, "little"))
        try:
            yield int.from_bytes(before, "little")
        finally:
            self._at(self.VERSION, before)


def gone(pid, timeout):
    wait_until(lambda: watch.gone(pid), timeout, f"process {pid} to end")
