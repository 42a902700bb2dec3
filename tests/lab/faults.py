"""Calls of a program that fail on purpose, by tests/tools/fail_nth.c, which is preloaded.

    with Faults() as faults:
        with World(env=faults.env) as world:
            faults.arm(ACCEPT, 1, errno.EMFILE, pid=world.proxy.worker)   # its next accept() fails
            ...
            with faults.paused():                                      # what happens now does not count
                ...
            faults.hit()                                               # has that call come?
            faults.disarm()

pid names one process; parent instead means those that this one starts, worker=True any worker.
"""

import mmap
import os
import struct
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .netns import RUN_PREFIX

ROOT = Path(__file__).resolve().parents[2]
KINDS = (NOTHING, MEMORY, SOCKET, ACCEPT, CONNECT, SEND, RECEIVE, SPAWN, PIPE, EVENTFD, MMAP, EPOLL, OPEN, WRITE,
         OPTION, EXEC) = range(16)
NAMES = dict(zip(KINDS, ("nothing", "memory", "socket", "accept", "connect", "send", "receive", "spawn", "pipe", "eventfd",
                         "mmap", "epoll", "open", "write", "setsockopt", "exec")))
# struct control
KIND, NTH, ERROR, PID, PARENT, PAUSED, COUNT, HIT, WORKER = range(0, 36, 4)
CLOCK, SIZE = 40, 48


class Faults:
    def __init__(self):
        library = ROOT / "build/tests/fail_nth.so"
        if not library.exists():
            raise RuntimeError(f"{library} is missing: build it first")
        descriptor, self._path = tempfile.mkstemp(prefix=RUN_PREFIX)
        os.truncate(descriptor, SIZE)
        os.chmod(self._path, 0o666)  # a program may have given up root
        self._memory = mmap.mmap(descriptor, SIZE)
        os.close(descriptor)
        self.env = {"LD_PRELOAD": str(library), "FAIL_NTH_CONTROL": self._path}

    def _put(self, at, value):
        struct.pack_into("=I", self._memory, at, value)

    def _get(self, at):
        return struct.unpack_from("=I", self._memory, at)[0]

    def arm(self, kind, nth, error, pid=0, parent=0, worker=False):
        """The nth call of a kind from now on fails with this errno."""
        self.disarm()
        for at, value in ((NTH, nth), (ERROR, error), (PID, pid), (PARENT, parent), (WORKER, worker), (PAUSED, 0), (COUNT, 0), (HIT, 0)):
            self._put(at, value)
        self._put(KIND, kind)

    def disarm(self):
        self._put(KIND, NOTHING)

    @contextmanager
    def paused(self):
        self._put(PAUSED, 1)
        try:
            yield
        finally:
            self._put(PAUSED, 0)

    def count(self):
        return self._get(COUNT)

    def hit(self):
        return bool(self._get(HIT))

    def clock(self, seconds):
        """The clock of the day is so far ahead of the system's, for every process."""
        struct.pack_into("=q", self._memory, CLOCK, int(seconds * 1000))

    def close(self):
        self._memory.close()
        os.unlink(self._path)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
