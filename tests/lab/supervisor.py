"""What a supervisor hears of the program: the messages of sd_notify(3), and a newline on a descriptor.

    with Supervisor() as supervisor:
        proxy = Proxy(ns, words, env=supervisor.env)
        supervisor.wait("READY=1")        # the message: {"READY": "1", "MAINPID": "4711", "STATUS": "1 pair"}
"""

import os
import socket
import tempfile
import threading

from .errors import LabTimeout
from .netns import RUN_PREFIX
from .proc import PATIENCE, wait_until


class Supervisor:
    """abstract   listen at an abstract name instead of a path; namespaces have each their own, so give ns, too

    .env  for who is supervised;  .messages  all so far, each a dict
    """

    def __init__(self, abstract=False, ns=None):
        self._directory = tempfile.TemporaryDirectory(prefix=RUN_PREFIX)
        self.path = f"@{RUN_PREFIX}notify" if abstract else f"{self._directory.name}/notify"
        if ns:
            with ns:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        else:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path.replace("@", "\0"))
        if not abstract:
            os.chmod(self.path, 0o666)
        self.env = {"NOTIFY_SOCKET": self.path}
        self.messages = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            try:
                text = self._socket.recv(65536).decode()
            except OSError:
                return
            if not text:
                return
            self.messages.append(dict(line.split("=", 1) for line in text.splitlines()))

    def mark(self):
        return len(self.messages)

    def wait(self, line, after=0, timeout=PATIENCE):
        """The first message from there on that has this line."""
        name, value = line.split("=", 1)
        try:
            return wait_until(lambda: next((m for m in list(self.messages)[after:] if m.get(name) == value), None), timeout, line)
        except LabTimeout as error:
            raise LabTimeout(f"{error}: {self.messages}") from None

    def close(self):
        if self._socket.fileno() < 0:
            return
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()
        self._directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
