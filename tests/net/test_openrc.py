#!/usr/bin/python3
"""packaging/openrc under real OpenRC, as far as that goes where it is not the system's init.

The service has /etc, /run and /sys/fs/cgroup of its own; of other services there is only one that provides `net`.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, watch
from lab.examples import Lab, Machine
from lab.netns import need, private_mounts
from lab.proc import Lines, Proc, wait_until
from lab.proxy import CALL_ENDED, READY, ROOT, program

PACKAGE = ROOT / "packaging/openrc"
STATES = ("daemons", "exclusive", "failed", "hotplugged", "inactive", "options", "scheduled", "started", "starting",
          "stopping", "tmp", "wasinactive")  # what OpenRC makes when it boots
CONF = """\
proxy vpn.example.com
acl 192.0.2.0/24
log /var/log/pptpproxy.log
"""
NET = """\
#!/sbin/openrc-run
depend() { provide net; }
start() { :; }
"""


class Host(Machine):
    """A machine that OpenRC takes for booted."""

    def __init__(self):
        super().__init__()
        need("openrc-run", "rc-service", "start-stop-daemon", "supervise-daemon")
        self.cgroup = self.directory / "cgroup"
        states = (self.run / "openrc" / name for name in STATES)
        for path in (self.cgroup, self.etc / "init.d", self.etc / "conf.d", self.run / "lock", *states):
            path.mkdir(parents=True)
        (self.run / "openrc/softlevel").write_text("default\n")
        (self.etc / "init.d/net").write_text(NET)
        (self.etc / "init.d/pptpproxy").write_text((PACKAGE / "pptpproxy.initd").read_text())
        for script in (self.etc / "init.d").iterdir():
            script.chmod(0o755)

    def enter(self):
        private_mounts({"/etc": self.etc, "/run": self.run, "/var/log": self.log, "/sys/fs/cgroup": self.cgroup})


class Service:
    """The home firewall with OpenRC's service, not started yet.

    more   lines for /etc/conf.d/pptpproxy, behind those of the package
    """

    def __init__(self, lab, more="", conf=CONF):
        self.ns, self.room = lab.net.home, lab.enter(Host())
        self.conf = self.room.etc / "pptpproxy.conf"
        self.conf.write_text(conf)
        self.confd = self.room.etc / "conf.d/pptpproxy"
        self.confd.write_text((PACKAGE / "pptpproxy.confd").read_text() + f'command="{program()}"\n' + more)
        self.file = self.room.log / "pptpproxy.log"
        self.log = Lines("pptpproxy.log")
        self.unfollow = self.log.follow(self.file)

    def rc(self, action, timeout=30):
        """The status and the words of rc-service, which ends within this time."""
        process = Proc(["rc-service", "--nocolor", "pptpproxy", action], ns=self.ns, room=self.room, name=f"rc-service {action}",
                       env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        return process.wait(timeout), process.text()

    def do(self, action):
        status, said = self.rc(action)
        assert status == 0, f"{action}: status {status}: {said}"
        return said

    def pid(self):
        """What the pid file says."""
        return int((self.room.run / "pptpproxy.pid").read_text())

    def close(self):
        self.rc("stop")
        self.unfollow()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def test_start_and_stop():
    "it starts behind the network; start ends when calls are accepted; it carries a call, and stops in order"
    with Lab() as lab, Service(lab) as service:
        lab.pptpd(lab.net.vpn, 10)
        said = service.do("start")
        assert re.search(r"net\b.*(?s:.)*pptpproxy", said), said
        # Now, without waiting:
        assert re.search(READY, service.file.read_text()), service.file.read_text()
        lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()
        service.log.wait(CALL_ENDED)
        assert "started" in service.do("status")
        pid = service.pid()
        service.do("stop")
        assert watch.gone(pid)
        service.log.wait(" stopped$")
        assert not service.log.matching("warning|error")
        assert not (service.room.run / "pptpproxy.pid").exists()
        status, said = service.rc("status")
        assert status == 3 and "stopped" in said, (status, said)


def test_reload():
    "reload has a changed file taken while a call goes on; a bad file is named and not taken"
    with Lab() as lab, Service(lab) as service:
        lab.pptpd(lab.net.vpn, 10)
        service.do("start")
        call = lab.call(lab.net.workstation, "192.0.2.1", 10)
        service.conf.write_text(CONF + "keepalive 0\n")
        status, said = service.rc("reload")
        assert status == 1 and "/etc/pptpproxy.conf line 4: keepalive 0: " in said, (status, said)
        service.conf.write_text(CONF.replace("192.0.2.0/24", "192.0.2.99"))
        service.do("reload")
        service.log.wait("SIGHUP: new configuration in use")
        assert len(service.log.matching("new configuration in use")) == 1, "a bad file was told of, too"
        lab.refused(lab.net.workstation, "192.0.2.1", service)
        call.ping(2)
        call.hang_up()


def test_upgrade():
    "upgrade goes on with the new program file, and stop finds it then, too"
    with Lab() as lab, Service(lab) as service:
        lab.pptpd(lab.net.vpn, 10)
        file = service.room.directory / "pptpproxy"
        new = service.room.directory / "pptpproxy.new"
        for path in (file, new):
            path.write_bytes(program().read_bytes())
            path.chmod(0o755)
        service.room.directory.chmod(0o755)
        with service.confd.open("a") as confd:
            confd.write(f'command="{file}"\n')
        service.do("start")
        call = lab.call(lab.net.workstation, "192.0.2.1", 10)
        pid = service.pid()
        new.rename(file)
        service.do("upgrade")
        service.log.wait(rf"upgraded: .*pid {pid}: 1 connections, 1 calls", 20)
        call.ping(2)
        service.do("stop")
        assert watch.gone(pid)


def test_start_fails():
    "what is wrong at the start is told by rc-service, and the service is not started"
    with Lab() as lab, Service(lab, conf=CONF + "user nosuchuser\n") as service:
        status, said = service.rc("start")
        assert status == 1 and "nosuchuser" in said, (status, said)
        service.conf.write_text("proxy 192.0.2.77,vpn.example.com\n")  # no address of this machine
        status, said = service.rc("start")
        assert status == 1 and "192.0.2.77" in said, (status, said)
        service.conf.unlink()
        status, said = service.rc("start")
        assert status == 1 and "/etc/pptpproxy.conf" in said, (status, said)
        assert service.rc("status")[0] == 3
        assert not service.ns.pids()


def test_supervised():
    "under supervise-daemon a bad file is told, too; killed it is started anew; reload and stop reach it"
    with Lab() as lab, Service(lab, 'supervisor="supervise-daemon"\n', CONF + "keepalive 0\n") as service:
        status, said = service.rc("start")
        assert status == 1 and "keepalive 0: " in said, (status, said)
        service.conf.write_text(CONF)
        lab.pptpd(lab.net.vpn, 10)
        service.do("start")
        ready = rf"{READY}.*pid (\d+),"
        pid = int(service.log.wait(ready, 30)[1])
        os.kill(pid, signal.SIGKILL)
        new = int(service.log.wait(ready, 30, count=2)[1])
        assert new != pid
        lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()
        service.do("reload")
        service.log.wait("SIGHUP: ")
        service.do("stop")
        wait_until(lambda: not service.ns.pids(), what="all to end")
        service.log.wait(" stopped$")


def test_installed_program():
    "the service starts what `make install` installs"
    text = (PACKAGE / "pptpproxy.initd").read_text()
    [path] = re.findall(r'^: "\$\{command:=(.*)\}"$', text, re.M)
    plan = subprocess.run(["make", "-n", "install"], cwd=ROOT, capture_output=True, text=True).stdout
    assert re.search(rf"-m 755 pptpproxy {re.escape(path)}$", plan, re.M), plan


if __name__ == "__main__":
    tap.main()
