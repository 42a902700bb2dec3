"""The networks of the manual page's examples, with their names, and machines whose /etc, /run and /var/log are their own.

    with Lab() as lab:
        lab.pptpd(lab.net.vpn, 10)
        lab.proxy(lab.net.home, ["-p", "vpn.example.com"])
        lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()
"""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from .netns import RUN_PREFIX, ip, private_mounts
from .proxy import REFUSED, Proxy
from .real import Call, Pptpd
from .topo import Topology

HOSTS = """\
127.0.0.1 localhost
203.0.113.10 vpn.example.com
203.0.113.20 firewall.example.com
"""


class Internet(Topology):
    """The networks of the page's examples.

    workstation, home, office, vpn, traveller   namespaces;  servers: .27 and .28
    """

    def __init__(self):
        super().__init__()
        try:
            self.workstation, self.home, self.office, self.vpn, self.traveller = map(
                self.add, ("workstation", "home", "office", "vpn", "traveller"))
            self.servers = [self.add("server27"), self.add("server28")]
            self.wire(self.workstation, "eth0", "192.0.2.2/24", self.home, "inside", "192.0.2.1/24")
            ip("-n", self.home.name, "addr", "add", "192.0.2.3/24", "dev", "inside")
            self.switch("internet", [
                (self.home, "outside", "203.0.113.1/24"), (self.office, "outside", "203.0.113.20/24"),
                (self.vpn, "eth0", "203.0.113.10/24"), (self.traveller, "eth0", "203.0.113.99/24")])
            self.switch("lan", [(self.office, "inside", "198.51.100.1/24")] + [
                (server, "eth0", f"198.51.100.{27 + i}/24") for i, server in enumerate(self.servers)])
        except BaseException:
            self.close()
            raise


class Machine:
    """A private mount namespace in which /etc, /run and /var/log are empty directories of its own,
    but for the names in /etc/hosts and the users. Outside they are .etc, .run and .log."""

    def __init__(self, hosts=HOSTS):
        self.directory = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
        self.etc, self.run, self.log = (self.directory / name for name in ("etc", "run", "log"))
        for path in (self.etc, self.run, self.log):
            path.mkdir()
        (self.etc / "hosts").write_text(hosts)
        for name in ("passwd", "group"):  # whom the worker becomes
            shutil.copy(f"/etc/{name}", self.etc)

    def enter(self):
        """Move the calling thread, which must be one that may be spent, into it."""
        private_mounts({"/etc": self.etc, "/run": self.run, "/var/log": self.log})

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Lab:
    """The networks, and what stands in them, all closed at once.

    pptpd(ns, number)     a server whose tunnels have addresses 10.number.x.x
    proxy(ns, words)      the program, with the names of the examples
    call(ns, address)     a call that is up and answers pings
    """

    def __init__(self):
        self._stack = ExitStack()
        self.net = self.enter(Internet())

    def enter(self, thing):
        return self._stack.enter_context(thing)

    def machine(self):
        return self.enter(Machine())

    def pptpd(self, ns, number):
        return self.enter(Pptpd(ns, local=f"10.{number}.0.1-50", remote=f"10.{number}.1.1-50",
                                name=f"pptpd {ns.ip}"))

    def proxy(self, ns, words, room=None, **options):
        return self.enter(Proxy(ns, words, room=room or self.machine(), name=f"proxy {ns.name}", **options))

    def call(self, ns, address, number):
        """... which the server with this number has taken."""
        call = self.enter(Call(ns, address, name=f"call to {address}"))
        call.wait_up()
        assert call.remote.startswith(f"10.{number}."), f"the call to {address} arrived at {call.remote}"
        call.ping(3)
        return call

    def refused(self, ns, address, proxy):
        """A call that the proxy refuses."""
        mark = proxy.log.mark()
        call = self.enter(Call(ns, address, name="stranger's call"))
        proxy.log.wait(rf"{ns.ip}\b.*{REFUSED}", after=mark)
        call.wait_gone(30)
        assert not call.ppp.lines("up device=")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return self._stack.__exit__(*exc)
