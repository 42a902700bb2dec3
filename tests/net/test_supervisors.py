#!/usr/bin/python3
"""packaging/runit and packaging/s6 under the real runsvdir and s6-svscan, with their loggers. (test_daemontools.py has
daemontools.)

Each service is installed by the lines that its own head or README tells, in a machine whose /etc, /run and /var/log
are its own. The networks are those of the manual page's examples.
"""

import os
import re
import signal
import stat
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, watch
from lab.examples import Lab
from lab.netns import need
from lab.proc import Proc, wait_until
from lab.proxy import CALL_ENDED, READY, ROOT, program

PACKAGING = ROOT / "packaging"
CONF = "proxy vpn.example.com\nacl 192.0.2.0/24\n"
TAI64N = "@[0-9a-f]{24}"


def told(path, first, last):
    """The shell lines, from one that begins like this to one that does, that a README or a script's head tells."""
    lines = [re.sub(r"^# ?", "", line).strip() for line in path.read_text().splitlines()]
    begin = next(i for i, line in enumerate(lines) if line.startswith(first))
    end = next(i for i, line in enumerate(lines) if i >= begin and line.startswith(last))
    return "\n".join(lines[begin:end + 1])


class Service:
    """The home firewall with a supervisor, not started yet.

    COMMANDS      what it needs
    STAMP         a log line's, as the logger makes it
    install()     puts the service where supervisor() will look
    supervisor()  the words that start it
    wait_ready()  asks the supervisor
    """

    def __init__(self, lab, conf=CONF):
        need(*self.COMMANDS)
        self.lab, self.ns, self.room = lab, lab.net.home, lab.machine()
        self.conf = self.room.etc / "pptpproxy.conf"
        self.conf.write_text(conf)
        self.commands = self.room.directory / "bin"
        self.commands.mkdir()
        (self.commands / "pptpproxy").symlink_to(program())
        self.path = {"PATH": f"{self.commands}:{os.environ['PATH']}"}
        self.current = self.room.log / "pptpproxy/current"
        self.process = None
        self.install()

    def start(self):
        self.process = Proc(self.supervisor(), ns=self.ns, room=self.room, env=self.path)
        return self

    def run(self, *words, check=True, timeout=30):
        """A command beside the supervisor; what it says, None if its status is not 0."""
        process = Proc(words, ns=self.ns, room=self.room, cwd=ROOT, env=self.path)
        status = process.wait(timeout)
        assert status == 0 or not check, f"{words}: status {status}: {process.text()}"
        return process.text() if status == 0 else None

    def shell(self, text):
        self.run("sh", "-euc", text)

    def lines(self, pattern=""):
        """What the logger wrote."""
        all_lines = self.current.read_text().splitlines() if self.current.exists() else []
        return [line for line in all_lines if re.search(pattern, line)]

    def wait_log(self, pattern, count=1, timeout=30):
        wait_until(lambda: len(self.lines(pattern)) >= count, timeout,
                   f"{count} lines /{pattern}/; {self.lines()} {self.process.log.tail()}")

    def pid(self, count=1):
        """The keeper's, of the count-th that was ready."""
        self.wait_log(READY, count)
        return int(re.search(r"pid (\d+),", self.lines(READY)[count - 1])[1])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process:
            self.close()


class Runit(Service):
    COMMANDS = ("runsvdir", "runsv", "sv", "svlogd")
    STAMP = r"\d{4}-\d\d-\d\d_\d\d:\d\d:\d\d\.\d{5}"

    def install(self):
        for name in ("sv", "service"):
            (self.room.etc / name).mkdir()
        self.shell(told(PACKAGING / "runit/run", "cp -r", "ln -s").replace("# or", " # or"))
        self.service = "/etc/service/pptpproxy"

    def supervisor(self):
        return ["runsvdir", "/etc/service"]

    def sv(self, action, **options):
        return self.run("sv", "-w", "30", action, self.service, **options)

    def wait_ready(self):
        wait_until((self.room.etc / "sv/pptpproxy/supervise/ok").exists, 15, "runsv")
        self.sv("start")

    def ready(self):
        # "down", where that is what was asked for, is right to it as well.
        return "ok: run: " in (self.run("sv", "-w", "0", "check", self.service, check=False) or "")

    def hup(self):
        self.sv("hup")

    def upgrade(self):
        self.sv("2")

    def up(self):
        self.sv("up")

    def down(self):
        self.sv("stop")

    def close(self):
        self.process.signal(signal.SIGHUP)  # runsvdir then has each runsv end its service, and its logger
        self.process.wait(15)
        wait_until(lambda: not self.ns.pids(), 15, "all to end")


class S6(Service):
    COMMANDS = ("s6-svscan", "s6-supervise", "s6-svc", "s6-svwait", "s6-svstat", "s6-log")
    STAMP = TAI64N

    def install(self):
        (self.room.run / "service").mkdir()
        self.shell(told(PACKAGING / "s6/README", "cp -r", "cp -r packaging/s6/pptpproxy-log"))
        self.service = "/run/service/pptpproxy"

    def supervisor(self):
        return ["s6-svscan", "/run/service"]

    def wait_ready(self):
        wait_until(lambda: self.run("s6-svok", self.service, check=False) is not None, 15, "s6-supervise")
        self.run("s6-svwait", "-t", "30000", *told(PACKAGING / "s6/README", "s6-svwait", "s6-svwait").split("#")[0].split()[1:])

    def ready(self):
        return self.run("s6-svstat", "-o", "ready", self.service) == "true\n"

    def hup(self):
        self.run("s6-svc", "-h", self.service)

    def upgrade(self):
        self.run("s6-svc", "-2", self.service)

    def up(self):
        self.run("s6-svc", "-u", self.service)

    def down(self):
        self.run("s6-svc", "-wD", "-T", "15000", "-d", self.service)

    def close(self):
        self.run("s6-svscanctl", "-t", "/run/service")
        self.process.wait(15)
        wait_until(lambda: not self.ns.pids(), 15, "all to end")


def _files(package, *scripts):
    for path in (PACKAGING / package).rglob("*"):
        if path.is_file():
            executable = stat.S_IMODE(path.stat().st_mode) & 0o111
            assert executable == (0o111 if str(path.relative_to(PACKAGING / package)) in scripts else 0), path


def _comes_up(kind):
    """It is started, ready when it says so, carries a call, and the logger alone stamps its lines."""
    with Lab() as lab, kind(lab) as service:
        lab.pptpd(lab.net.vpn, 10)
        service.start().wait_ready()
        # Now, without waiting:
        call = lab.call(lab.net.workstation, "192.0.2.1", 10)
        call.hang_up()
        service.wait_log(CALL_ENDED)
        for line in service.lines():
            label, text = line.split(" ", 1)
            assert re.fullmatch(service.STAMP, label), line
            assert not re.match(r"[\d@]", text), f"a time stamp of its own: {line}"
        assert not service.lines("warning|error")


def _not_ready_before(kind):
    """Up is not ready: while the program waits, the supervisor says so."""
    with Lab() as lab, kind(lab) as service:
        held = service.room.directory / "held"
        os.mkfifo(held)
        (service.commands / "pptpproxy").unlink()
        (service.commands / "pptpproxy").write_text(f'#!/bin/sh\nread go <{held}\nexec {program()} "$@"\n')
        (service.commands / "pptpproxy").chmod(0o755)
        service.start()
        with open(held, "w") as fifo:  # opened as soon as the script reads
            assert not service.ready()
            fifo.write("go\n")
        service.wait_ready()
        assert service.ready()


def _restarted(kind):
    """Killed, it is started anew and takes calls; how it ended stands in the log."""
    with Lab() as lab, kind(lab) as service:
        lab.pptpd(lab.net.vpn, 10)
        service.start()
        pid = service.pid()
        os.kill(pid, signal.SIGKILL)
        assert service.pid(2) != pid
        assert service.lines("killed by signal 9"), service.lines()
        service.wait_ready()
        lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()


def _reloaded_and_upgraded(kind):
    """The supervisor's own commands have a new file taken, and a new version, while a call goes on."""
    with Lab() as lab, kind(lab) as service:
        lab.pptpd(lab.net.vpn, 10)
        service.start().wait_ready()
        call = lab.call(lab.net.workstation, "192.0.2.1", 10)
        service.conf.write_text(CONF + "keepalive 59\n")
        service.hup()
        service.wait_log("SIGHUP: new configuration in use")
        service.upgrade()
        service.wait_log(rf"upgraded: .*pid {service.pid()}: 1 connections, 1 calls")
        call.ping(2)
        call.hang_up()
        assert not service.lines("ended with|was killed")


def _stops(kind):
    """Taken down it ends in order, and stays down; taken up again it is ready again."""
    with Lab() as lab, kind(lab) as service:
        service.start().wait_ready()
        pid = service.pid()
        service.down()
        assert watch.gone(pid) and not service.ready()
        service.wait_log(" stopped$")
        assert not service.lines("warning|error|ended with|was killed")
        service.up()
        service.wait_ready()
        service.wait_log(READY, count=2)


def _error(kind):
    """What is wrong at the start stands in the log, with the status."""
    with Lab() as lab, kind(lab, CONF + "keepalive 0\n") as service:
        service.start()
        service.wait_log(r"pptpproxy: /etc/pptpproxy\.conf line 3: keepalive 0: ")
        service.wait_log("pptpproxy ended with status 1$")
        assert not service.ready()


def test_runit_files():
    "runit: what is a script can be executed, nothing else"
    _files("runit", "run", "check", "finish", "log/run")


def test_runit_comes_up():
    "runit: sv start waits until calls are accepted; svlogd alone stamps the lines"
    _comes_up(Runit)


def test_runit_not_ready():
    "runit: before it is ready, sv check says so"
    _not_ready_before(Runit)


def test_runit_restarted():
    "runit: killed it is started anew, and the log says how it ended"
    _restarted(Runit)


def test_runit_reload_and_upgrade():
    "runit: sv hup takes a new file, sv 2 a new version, and a call goes on"
    _reloaded_and_upgraded(Runit)


def test_runit_stops():
    "runit: sv stop ends it in order, sv up starts it again"
    _stops(Runit)


def test_runit_error():
    "runit: an error at the start reaches the log"
    _error(Runit)


def test_s6_files():
    "s6: what is a script can be executed, nothing else"
    _files("s6", "pptpproxy/run", "pptpproxy/finish", "pptpproxy-log/run")


def test_s6_comes_up():
    "s6: s6-svwait -U waits until calls are accepted; s6-log alone stamps the lines"
    _comes_up(S6)


def test_s6_not_ready():
    "s6: before it is ready, s6-svstat says so"
    _not_ready_before(S6)


def test_s6_restarted():
    "s6: killed it is started anew, and the log says how it ended"
    _restarted(S6)


def test_s6_reload_and_upgrade():
    "s6: s6-svc -h takes a new file, s6-svc -2 a new version, and a call goes on"
    _reloaded_and_upgraded(S6)


def test_s6_stops():
    "s6: s6-svc -d ends it in order, s6-svc -u starts it again"
    _stops(S6)


def test_s6_error():
    "s6: an error at the start reaches the log"
    _error(S6)


def test_s6_rc_definition():
    "s6-rc: two longruns, of which one is the other's logger, and a name for both, as the README has it"
    def words(service, name):
        return (PACKAGING / f"s6/{service}/{name}").read_text().split()

    for service in ("pptpproxy", "pptpproxy-log"):
        assert words(service, "type") == ["longrun"]
        [number] = words(service, "notification-fd")
        assert re.search(rf"(--ready-fd |-d){number}\b", (PACKAGING / f"s6/{service}/run").read_text()), service
    assert words("pptpproxy", "producer-for") == ["pptpproxy-log"]
    assert words("pptpproxy-log", "consumer-for") == ["pptpproxy"]
    [name] = words("pptpproxy-log", "pipeline-name")
    assert f"change {name}\n" in (PACKAGING / "s6/README").read_text()
    assert {path.name for path in (PACKAGING / "s6").iterdir()} == {"README", "pptpproxy", "pptpproxy-log"}


def test_readme_names_all():
    "packaging/README tells of each thing that is there, and of nothing else"
    named = set(re.findall(r"^([a-z0-9.]+)(?: {2,}.*)?$", (PACKAGING / "README").read_text(), re.M))
    there = {path.name for path in PACKAGING.iterdir()} - {"README"}
    assert named == there, named ^ there


if __name__ == "__main__":
    tap.main()
