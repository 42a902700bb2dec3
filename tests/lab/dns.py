"""A name server of a few lines, in a namespace of its own choice, whose answers can be changed while it runs.

    with Dns(net.firewall, {"vpn.example.test": ["10.2.0.10"]}) as dns:
        dns.names["vpn.example.test"] = []         # the name exists, without an address
        dns.silent = True                          # no answers at all any more
        dns.failing = True                         # answers SERVFAIL

A program finds it through a resolv.conf of its own: Proxy(..., room=Etc(...)).
"""

import os
import shutil
import socket
import struct
import tempfile
import threading
from pathlib import Path

from .netns import RUN_PREFIX, private_mounts


class Dns:
    def __init__(self, ns, names, address="127.0.0.1"):
        self.names, self.address = dict(names), address
        self.silent = self.failing = self._done = False
        self.asked = []  # names, in order
        with ns:
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self.sock.bind((address, 53))
        self.sock.settimeout(0.1)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._done:
            try:
                data, peer = self.sock.recvfrom(2048)
                answer = self._answer(data)
                if answer:
                    self.sock.sendto(answer, peer)
            except (socket.timeout, ConnectionError):  # refused: who asked is gone
                pass

    def _answer(self, data):
        at, labels = 12, []
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        name, kind, question = ".".join(labels), struct.unpack_from("!H", data, at + 1)[0], data[12:at + 5]
        self.asked.append(name)
        if self.silent:
            return None
        known = name in self.names
        addresses = self.names.get(name, []) if kind == 1 and not self.failing else []
        code = 2 if self.failing else 0 if known else 3
        head = data[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(addresses), 0, 0)
        records = b"".join(struct.pack("!HHHIH4s", 0xC00C, 1, 1, 0, 4, socket.inet_aton(a)) for a in addresses)
        return head + question + records

    def close(self):
        self._done = True
        self._thread.join(5)
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Etc:
    """A private mount namespace in which these files of /etc say something else. .write() changes
    one while the program runs."""

    def __init__(self, resolv="nameserver 127.0.0.1\n", hosts="127.0.0.1 localhost\n"):
        self._directory = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
        self._files = {}
        for name, text in (("resolv.conf", resolv), ("hosts", hosts)):
            self._files[name] = self._directory / name
            self._files[name].write_text(text)

    def write(self, name, text):
        self._files[name].write_text(text)

    def enter(self):
        """Move the calling thread, which must be one that may be spent, into it."""
        private_mounts({os.path.realpath(f"/etc/{name}"): path for name, path in self._files.items()})

    def close(self):
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
