#!/usr/bin/python3
"""Names: of peers and listen addresses, from a hosts file and from name servers that come and go."""

import os
import sys
import tempfile
import time
from pathlib import Path
from signal import SIGHUP, SIGTERM

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, turmoil, watch
from lab.dns import Dns, Etc
from lab.fake import FakeServer, World
from lab.messages import SCCRP, SCCRQ, build
from lab.netns import RUN_PREFIX
from lab.proc import Proc, wait_until
from lab.proxy import CLOSED, READY, program
from lab.turmoil import Installed

NAME = "vpn.example.test"


class Named(World):
    """A world in which the proxy has a resolv.conf and a hosts file of its own, and a name server."""

    def __init__(self, names, pair=NAME, resolv="nameserver 127.0.0.1\n", hosts="127.0.0.1 localhost\n", start=True,
                 **options):
        super().__init__(pairs=[pair], proxy=False, **options)
        try:
            self.etc = self.keep(Etc(resolv, hosts))
            self.dns = self.keep(Dns(self.net.firewall, names))
            if start:
                self.start()
        except BaseException:
            self._stack.close()
            raise

    def start(self, **options):
        return super().start(room=self.etc, **options)


def test_name_from_the_name_server():
    "a peer's name is looked up at the name server, with a port as well"
    with Named({NAME: ["10.2.0.10"]}) as world:
        world.session().call(5, 7).check()
        assert NAME in world.dns.asked
    with Named({NAME: ["10.2.0.10"]}, pair=f"10.1.0.1:1723,{NAME}:1800") as world:
        server = world.keep(FakeServer(world.net.server, port=1800))
        world.dial().send(build(SCCRQ))
        server.accept().expect(SCCRQ)


def test_name_from_the_hosts_file():
    "a peer's name is found in the hosts file, which goes before the name server"
    with Named({NAME: ["10.2.0.99"]}, hosts=f"10.2.0.10 other {NAME}\n") as world:
        world.session().check()


def test_hosts_file_is_read_anew_on_sighup():
    "SIGHUP reads the hosts file anew"
    with Named({}, hosts=f"10.2.0.99 {NAME}\n", servers=2) as world:
        world.etc.write("hosts", f"10.2.0.11 {NAME}\n")
        world.proxy.proc.signal(SIGHUP)
        world.log.wait("SIGHUP")
        world.dial().send(build(SCCRQ))
        world.servers[1].accept().expect(SCCRQ)


def test_new_answers_count_for_new_connections():
    "a name is looked up for each connection: a changed answer leads new calls elsewhere, old ones stay"
    with Named({NAME: ["10.2.0.10"]}, servers=2) as world:
        first = world.session()
        call = first.call(5, 7)
        world.dns.names[NAME] = ["10.2.0.11"]
        client = world.dial()
        client.send(build(SCCRQ))
        world.servers[1].accept().expect(SCCRQ)
        call.check()
        first.check()


def test_several_addresses_are_dialled_in_order():
    "a name with several addresses: they are dialled in order until one answers; refused, silent, then good"
    with Named({NAME: ["10.2.0.11", "10.2.0.12", "10.2.0.10", "10.2.0.13"]}, servers=4,
               words=["--connect-timeout", "1"]) as world:
        world.servers[1].sock.close()  # refuses
        world.net.servers[2].run(["ip", "route", "add", "blackhole", "10.2.0.1/32"])  # says nothing
        client = world.dial()
        client.send(build(SCCRQ))
        server = world.server.admit()
        client.expect(SCCRP)
        assert not world.servers[3].dialled()
        world.wait_line(client, r"-> 10\.2\.0\.10:1723: .*connected")


def test_no_address_answers():
    "a name none of whose addresses answers: the client is closed, the log names what was wrong last"
    with Named({NAME: ["10.2.0.10", "10.2.0.10", "10.2.0.11"]}, servers=2) as world:
        for server in world.servers:
            server.sock.close()
        client = world.dial()
        client.send(build(SCCRQ))
        client.expect_end()
        world.wait_line(client, rf"{CLOSED}.*10\.2\.0\.11:1723: .*refused")


def test_last_good_answer_serves():
    "while the name server fails, is silent or denies the name, the last good answer serves"
    with Named({NAME: ["10.2.0.10"]}) as world:
        world.session().close()
        world.dns.failing = True
        world.session().close()
        world.dns.failing = False
        world.dns.names.pop(NAME)
        world.session().close()
        world.dns.silent = True
        world.session().call(5, 7).check()


def test_name_server_that_is_silent_holds_nobody():
    "while a look-up waits for a silent name server, calls of other connections go on"
    with Named({NAME: ["10.2.0.10"]}) as world:
        session = world.session()
        call = session.call(5, 7)
        world.dns.silent = True
        asked = len(world.dns.asked)
        waiting = world.dial()
        waiting.send(build(SCCRQ))
        wait_until(lambda: len(world.dns.asked) > asked, what="the question")
        session.check()
        call.check()
        leaving = world.dial()
        leaving.send(build(SCCRQ))
        leaving.close()
        world.server.accept(20).expect(SCCRQ)  # the last good answer, at the end of patience


def test_unresolvable_peer_is_a_warning():
    "a peer's name that cannot be resolved at the start is a warning, and is tried again with each connection"
    with Named({}) as world:
        world.log.wait("warning: .*" + NAME)
        assert len(world.log.matching("warning: .*" + NAME)) == 1
        client = world.dial()
        client.send(build(SCCRQ))
        client.expect_end()
        world.wait_line(client, f"{CLOSED}.*{NAME}")
        world.dns.names[NAME] = ["10.2.0.10"]
        world.session().check()


def test_no_name_server_at_all():
    "without any name server the proxy starts with a warning"
    with Named({}, resolv="# nothing\n") as world:
        world.log.wait("warning: .*" + NAME)
        client = world.dial()
        client.send(build(SCCRQ))
        client.expect_end()


def test_listen_names():
    "a listen name is resolved at the start; one that cannot be is an error that names it"
    with Named({"inside.test": ["10.1.0.1"], NAME: ["10.2.0.10"]}, pair=f"inside.test,{NAME}") as world:
        world.session().check()
    with Named({NAME: ["10.2.0.10"]}, pair=f"nowhere.test,{NAME}", start=False) as world:
        world.start(ready=False)
        assert world.proxy.wait(15) == 1
        world.log.wait("nowhere.test")


def test_listen_names_that_conflict():
    "a listen name whose address an earlier pair has is a conflict: ignored with a warning"
    with Named({"inside.test": ["10.1.0.1"]}, pair="10.1.0.1,10.2.0.10",
               words=["-p", "inside.test,10.2.0.11"]) as world:
        world.log.wait("warning: .*inside.test.*ignored")
        world.session().check()


def test_name_that_comes_to_mean_the_proxy_itself():
    "a peer's name that is the proxy's own listener: an error at the start; refused without a circle when it comes later"
    with Named({NAME: ["10.1.0.1"]}, start=False) as world:
        world.start(ready=False)
        assert world.proxy.wait(15) == 1
        world.log.wait(NAME)
    with Named({NAME: ["10.2.0.10"]}) as world:
        call = world.session().call(5, 7)
        world.dns.names[NAME] = ["10.2.0.1"]
        client = world.dial()
        client.send(build(SCCRQ))
        client.expect_end()
        world.wait_line(client, CLOSED)
        assert len(world.log.matching("accepted")) == 2
        call.check()


def test_name_that_comes_to_mean_a_circle_of_pairs():
    "a peer's name that leads back by way of another pair is refused as soon as it does"
    with Named({NAME: ["10.2.0.10"]}, start=False) as world:
        world.pairs = [f"10.1.0.1:1723,{NAME}:1723", "10.2.0.1:1723,10.1.0.1:1723"]
        world.start()
        call = world.session().call(5, 7)
        world.dns.names[NAME] = ["10.2.0.1"]
        client = world.dial()
        client.send(build(SCCRQ))
        client.expect_end()
        world.wait_line(client, f"{CLOSED}.*come back to this pair")
        call.check()


def _dies_well(world, call, warning):
    death = turmoil.kill(world.proxy)
    death.over()
    world.log.wait(f"warning: {warning}", after=death.mark)
    call.check()


def test_listen_name_that_has_gone_when_a_worker_dies():
    "a listen name that is nobody's, or another host's, by the time a worker dies: the next one has its address and socket"
    with (Installed() as installed, installed.in_use(),
          Named({"inside.test": ["10.1.0.1"]}, pair="inside.test,10.2.0.10") as world):
        call = world.session().call(5, 7)
        world.dns.names["inside.test"] = ["192.0.2.1"]
        _dies_well(world, call, r"listen on inside.test:1723: .*; the address that it had, 10\.1\.0\.1,")
        world.dns.names.clear()
        _dies_well(world, call, "listen address 'inside.test': .*10.1.0.1")
        world.session().check()
        installed.replace(installed.octets)
        turmoil.upgrade(world.proxy)
        _dies_well(world, call, "listen address 'inside.test': .*10.1.0.1")
        world.session().check()


def test_circle_that_is_there_when_a_worker_dies():
    "a peer's name that is the proxy's own listener by the time a worker dies: calls go on, new clients of it are refused"
    with Named({NAME: ["10.2.0.10"]}) as world:
        call = world.session().call(5, 7)
        world.dns.names[NAME] = ["10.2.0.1"]
        _dies_well(world, call, "pair .* would dial itself")
        client = world.dial()
        client.send(build(SCCRQ))
        client.expect_end()
        call.check()


def test_name_of_no_host():
    "a peer's name that is 0.0.0.0, as blocking name servers say, is not dialled: the system would take it for itself"
    with Named({NAME: ["0.0.0.0"]}) as world:
        client = world.dial()
        client.send(build(SCCRQ))
        client.expect_end()
        world.wait_line(client, f"{CLOSED}.*0.0.0.0:1723: that is not the address of one host")
        assert len(world.log.matching("accepted")) == 1
        world.dns.names[NAME] = ["0.0.0.0", "10.2.0.10"]
        world.session().check()


def test_end_while_names_are_looked_up():
    "SIGTERM while a name server keeps the start waiting: exit 0 in the foreground"
    with Named({}, start=False) as world:
        world.dns.silent = True
        world.start(ready=False)
        wait_until(lambda: world.dns.asked, what="the question")
        world.proxy.proc.signal(SIGTERM)
        assert world.proxy.wait(3 + 2 * tap.slowdown()) == 0
        world.log.wait("SIGTERM: ending")
        assert not world.log.matching(READY)


def test_end_of_the_background_while_names_are_looked_up():
    "the same in the background: the command that started it says so and ends 1"
    with Named({}, start=False) as world, tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as directory:
        world.dns.silent = True
        log, firewall = Path(directory) / "log", world.net.firewall
        parent = Proc([program(), "-p", NAME, "-l", log], ns=firewall, room=world.etc, name="parent")
        wait_until(lambda: world.dns.asked, what="the question")
        daemon, = (pid for pid in firewall.pids() if pid != parent.pid and watch.worker(pid))
        os.kill(daemon, SIGTERM)
        assert parent.wait(3 + 2 * tap.slowdown()) == 1, parent.text()
        assert parent.text() == "pptpproxy: ended by a signal before it was ready\n", parent.text()
        wait_until(lambda: not firewall.pids(), what="the daemon to end")
        assert "SIGTERM: ending" in log.read_text(), log.read_text()


def test_search_domains():
    "a short name is completed by resolv.conf's search domain"
    with Named({NAME: ["10.2.0.10"]}, pair="vpn", resolv="search example.test\nnameserver 127.0.0.1\n") as world:
        world.session().check()


def test_second_name_server_serves():
    "a second name server serves while the first one is silent"
    with Named({}, start=False, resolv="nameserver 127.0.0.1\nnameserver 127.0.0.2\n") as world:
        world.dns.silent = True
        second = world.keep(Dns(world.net.firewall, {NAME: ["10.2.0.10"]}, "127.0.0.2"))
        began = time.monotonic()
        world.start()
        world.session().check()
        assert NAME in second.asked
        assert time.monotonic() - began < 10 * tap.slowdown()


if __name__ == "__main__":
    tap.main()
