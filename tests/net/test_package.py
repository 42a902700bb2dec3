#!/usr/bin/python3
"""The Debian package: built, looked at, installed over a copy of this machine, run as its service, upgraded with a call up,
removed and purged. systemd itself does not run here: lab/walls.py starts what the unit says behind the walls that
it sets, and lab/installed.py has a systemctl for the maintainer scripts."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, walls, watch
from lab.errors import Skip
from lab.examples import Lab
from lab.installed import Machine
from lab.netns import RUN_PREFIX, need
from lab.proc import Proc, wait_until
from lab.proxy import ROOT, program
from lab.real import Call
from lab.supervisor import Supervisor

CONF = ROOT / "packaging/pptpproxy.conf"
UNIT = ROOT / "packaging/systemd/pptpproxy.service"
INSTALLED_UNIT = "/lib/systemd/system/pptpproxy.service"
NEXT = "3.999.0-1"
EXPOSURE = 2.8  # of 10, as systemd-analyze sees it; lower is better
# What dpkg, and the user database, keep.
STAYS = re.compile(r"/var/lib/dpkg/|/var/log/(dpkg|alternatives)\.log$|/var/cache/|/etc/(passwd|group|shadow|gshadow)-?$"
                   r"|/etc/\.pwd\.lock$|/usr/local/sbin/systemctl$|/root/")

debs = None  # where the packages are, once they have been built


def build(*words):
    """tools/deb with these words, as nobody where he can read the tree."""
    command = [ROOT / "tools/deb", *words]
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "HOME=/nonexistent"]
    if subprocess.run([*nobody, "test", "-r", ROOT / "options.c"], check=False).returncode == 0:
        command = [*nobody, *command]
    process = Proc(command, cwd="/")
    assert process.wait(240) == 0, "\n".join(process.log.all()[-30:])


def packages():
    """The directory with this version and the next one."""
    global debs
    need("dpkg-buildpackage", "dh")
    if os.environ.get("PPTPPROXY"):
        raise Skip("the package has a program of its own")
    if debs is None:
        debs = tempfile.TemporaryDirectory(prefix=RUN_PREFIX)
        shutil.chown(debs.name, "nobody", "nogroup")
        os.chmod(debs.name, 0o755)
        build(debs.name)
        build(debs.name, NEXT)
    return Path(debs.name)


def package(version="*"):
    [found] = [path for path in packages().glob(f"pptpproxy_{version}_*.deb") if version != "*" or NEXT not in path.name]
    return found


def option_names():
    """The names of options.c, but for those that are for the command line."""
    text = (ROOT / "options.c").read_text()
    names = re.findall(r'^    \{"([\w-]+)", (?:no|required)_argument', text, re.M)
    assert len(names) > 20
    return names


def uncommented(directory=None):
    """directory: in the place of those that the package has for files."""
    text = re.sub(r"^#([a-z])", r"\1", CONF.read_text(), flags=re.M)
    return re.sub("/(var/log|run)/pptpproxy/", f"{directory}/", text) if directory else text


def test_configuration():
    "the configuration has every option that a file may have, in a comment, and all of them are good"
    assert not re.findall(r"^[^#\n]", CONF.read_text(), re.M), "not everything is a comment"
    with tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as directory:
        conf = Path(directory, "conf")

        def check(text):
            conf.write_text(text)
            process = Proc([program(), "-c", conf, "--check", "--user", "nobody"])
            process.wait()
            return process.text()

        wanted = {name for name in option_names() if "command line only" not in check(f"{name}\n")}
        found = re.findall(r"^#([a-z-]+)", CONF.read_text(), re.M)
        assert wanted - {"aclCmd"} == set(found), wanted.symmetric_difference(found)
        assert len(found) == len(set(found)), found
        assert check(uncommented(directory)) == "OK\n"
        # Each line that shows a default shows the right one.
        page = (ROOT / "man/pptpproxy.conf.5").read_text()
        rows = re.findall(r"^\.It Cm ([\w-]+)(?: Ns [*+]+)? Ta Ar \w+ Ta (\d+|@\w+)$", page, re.M)
        assert len(rows) > 8
        for name, default in rows:
            assert re.search(rf"^#{name} +{default}$", CONF.read_text(), re.M), f"{name} {default}"


def test_new_start():
    "the configuration says of those options that need a new start, as the manual page marks them, and of no others"
    blocks = re.findall(r"^# -{4} (.*?) -{4}\n(.*?)(?=^# -{4}|\Z)", CONF.read_text(), re.M | re.S)
    assert len(blocks) > 5
    told = [name for title, text in blocks if "needs a new start" in title for name in re.findall(r"^#([a-z-]+)", text, re.M)]
    assert not any("new start" in text for _, text in blocks), "only a block's title may say so"
    page = (ROOT / "man/pptpproxy.conf.5").read_text()
    marked = re.findall(r"^\.It Cm ([\w-]+) Ns \*?\+ Ta", page, re.M)
    assert len(marked) > 4
    assert sorted(told) == sorted(marked), set(told) ^ set(marked)


@tap.deadline(300)
def test_lintian():
    "lintian finds nothing wrong with the package, nor with one of another version"
    need("lintian")
    changes = list(packages().glob("*.changes"))
    process = Proc(["lintian", "--allow-root", "--info", "--display-info", "--pedantic", "--fail-on=error,warning",
                    "--profile=debian", *changes], cwd="/")
    assert process.wait(100) == 0, process.text()
    version = re.search(r'^#define VERSION "(.*)"', (ROOT / "options.c").read_text(), re.M)[1]
    assert {path.name.split("_")[1] for path in changes} == {f"{version}-1", NEXT}, changes


def test_late_address():
    "the unit waits for an address to listen at, however late it comes: systemd's own limit would give up after five starts"
    assert re.search(r"^\[Unit\]\n[^\[]*^StartLimitIntervalSec=0$", UNIT.read_text(), re.M)
    unit = walls.settings([UNIT])
    assert (unit["Restart"], unit["RestartSec"]) == (["on-failure"], ["5"])


@tap.deadline(300)
def test_unit():
    "systemd finds nothing wrong with the unit, its exposure is as low as it was, its rights are those of the manual"
    need("systemd-analyze")
    rights = re.search(r"^\.Ss Rights\n(.*?)^\.S", (ROOT / "man/pptpproxy.8").read_text(), re.M | re.S)[1]
    [given] = walls.settings([UNIT])["CapabilityBoundingSet"]
    assert set(given.split()) == set(re.findall(r"CAP_\w+", rights)) - {"CAP_BPF"}
    with Machine(packages()) as machine:
        machine.run(["dpkg", "--no-triggers", "-i", f"/run/debs/{package().name}"])
        done = machine.run(["systemd-analyze", "verify", INSTALLED_UNIT])
        said = [line for line in (done.stdout + done.stderr).splitlines() if "pptpproxy" in line]
        assert not said, said
        # A mistake is found.
        machine.write(INSTALLED_UNIT, machine.read(INSTALLED_UNIT).replace("Type=notify", "Type=notified"))
        done = machine.run(["systemd-analyze", "verify", INSTALLED_UNIT], check=False)
        assert "notified" in done.stdout + done.stderr
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", UNIT], stdout=subprocess.PIPE, text=True)
    score = float(re.search(r"Overall exposure level.*: ([\d.]+)", done.stdout)[1])
    assert 0 < score <= EXPOSURE, done.stdout
    assert f"has {score} (" in (ROOT / "README.md").read_text(), f"README.md has another score than {score}"


class Service:
    """The installed service in the home firewall of the manual page's networks, ready to take calls."""

    def __init__(self, lab, machine, conf, drop_in=None):
        self.machine = machine
        machine.write("/etc/pptpproxy.conf", conf)
        machine.write("/etc/hosts", "127.0.0.1 localhost\n203.0.113.10 vpn.example.com\n")
        paths = [INSTALLED_UNIT]
        if drop_in:
            paths.append("/etc/systemd/system/pptpproxy.service.d/override.conf")
            machine.write(paths[1], drop_in)
        self.supervisor = lab.enter(Supervisor(abstract=True, ns=lab.net.home))
        self.proc = Proc([sys.executable, "-c", Path(walls.__file__).read_text(), *paths], ns=lab.net.home, room=machine.apart,
                         env={**machine.env, **self.supervisor.env}, name="service", cwd="/")
        self.log = self.proc.log
        wait_until(lambda: self.supervisor.messages or not self.proc.running(), 30, "readiness of the service")
        assert self.proc.running(), self.log.tail()
        said = self.supervisor.wait("READY=1")
        assert said["MAINPID"] == str(self.proc.pid)
        machine.write("/run/service.pid", f"{self.proc.pid}\n")

    def reload(self):
        """As ExecReload does; what is told at its end."""
        mark = self.supervisor.mark()
        [command] = walls.settings([UNIT])["ExecReload"]
        assert self.machine.run(["sh", "-c", command.replace("$MAINPID", str(self.proc.pid))]).returncode == 0
        self.supervisor.wait("RELOADING=1", mark)
        return self.supervisor.wait("READY=1", mark)

    def stop(self):
        assert self.proc.stop() == 0, self.log.tail()
        self.supervisor.close()


def status(pid, name):
    return re.search(rf"^{name}:\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M)[1]


@tap.deadline(300)
def test_life():
    "installed, run as a service, upgraded with a call up, removed, purged: no call ends, and nothing stays behind"
    with Lab() as lab, Machine(packages()) as machine:
        lab.pptpd(lab.net.vpn, 10)
        users = machine.run(["getent", "passwd", "pptpproxy"], check=False).stdout
        machine.run(["dpkg", "--no-triggers", "-i", f"/run/debs/{package().name}"])
        # There is nothing to forward yet.
        assert machine.run(["/usr/sbin/pptpproxy", "-c", "/etc/pptpproxy.conf", "--check"], check=False).returncode == 1
        # needrestart evaluates it so.
        perl = "do $ARGV[0]; print grep { 'pptpproxy.service' =~ $_ } keys %{$nrconf{override_rc}}; print values %{$nrconf{override_rc}}"
        said = machine.run(["perl", "-e", f"our %nrconf; {perl}", "/etc/needrestart/conf.d/pptpproxy.conf"]).stdout
        assert "pptpproxy" in said and said.endswith("0"), said
        # Any line of the package's own configuration will do, before the first start.
        machine.write("/root/all.conf", uncommented())
        words = ["/usr/sbin/pptpproxy", "-c", "/root/all.conf", "--check"]
        assert machine.run(words).stdout == "OK\n"
        owners = machine.run(["stat", "-c", "%U:%G %a", "/var/log/pptpproxy", "/run/pptpproxy"]).stdout
        assert owners == "root:root 750\nroot:root 755\n", owners
        assert not machine.exists("/etc/systemd/system/multi-user.target.wants/pptpproxy.service")
        assert "start pptpproxy" not in machine.read("/run/systemctl.log")
        assert users or machine.run(["getent", "passwd", "pptpproxy"]).stdout.rstrip().endswith(":/nonexistent:/usr/sbin/nologin")
        for page in ("8 pptpproxy", "5 pptpproxy.conf", "7 pptpproxy-acl"):
            machine.run(["man", "-w", *page.split()])

        machine.write("/etc/pptpproxy/allow", '#!/bin/sh\necho "asked about $1"\n[ "$1" = 192.0.2.2 ]\n', 0o755)
        conf = "proxy vpn.example.com\nacl-cmd /etc/pptpproxy/allow\nlog /var/log/pptpproxy/pptpproxy.log\n"
        service = Service(lab, machine, conf)
        user = machine.run(["id", "-u", "pptpproxy"]).stdout.strip()
        worker = wait_until(lambda: watch.worker(service.proc.pid), what="a worker")
        assert status(worker, "Uid").split() == [user] * 4
        call = lab.call(lab.net.workstation, "192.0.2.1", 10)
        lab.enter(Call(lab.net.traveller, "203.0.113.1", name="stranger's call")).wait_gone(30)
        log = "/var/log/pptpproxy/pptpproxy.log"
        wait_until(lambda: re.search("203.0.113.99.*refused: .*/etc/pptpproxy/allow: exit status 1", machine.read(log)), 10,
                   "the refusal")
        assert not re.search("warning:|error:", machine.read(log)), machine.read(log)

        machine.write("/etc/pptpproxy.conf", f"{conf}nonsense\n")
        assert "changed nothing: /etc/pptpproxy.conf line 4: unknown option" in service.reload()["STATUS"]
        machine.write("/etc/pptpproxy.conf", f"{conf}proxy 192.0.2.1:1724,vpn.example.com\n")
        assert service.reload()["STATUS"] == "2 pairs"

        machine.run(["logrotate", "--force", "/etc/logrotate.d/pptpproxy"])
        wait_until(lambda: machine.exists(log) and "SIGHUP" in machine.read(log), what="a new log file")
        assert machine.exists(f"{log}.1")

        mark = service.supervisor.mark()
        pings = lab.net.workstation.popen(["ping", "-n", "-I", call.device, "-i", "0.02", call.remote])
        pings.wait_line("bytes from", count=10)
        machine.run(["dpkg", "--no-triggers", "--force-confold", "-i", f"/run/debs/{package(NEXT).name}"])
        wait_until(lambda: f"upgraded: pptpproxy {NEXT[:-2]}, pid {service.proc.pid}: 1 connections, 1 calls" in machine.read(log),
                   15, "the upgrade")
        pings.wait_line("bytes from", after=pings.log.mark(), count=10)
        pings.kill()
        answered = [int(re.search(r"icmp_seq=(\d+)", line)[1]) for line in pings.lines("bytes from")]
        assert answered == list(range(1, len(answered) + 1)), pings.log.tail()
        call.ping(3)
        assert call.up() and service.proc.running()
        asked = machine.read("/run/systemctl.log")
        assert "kill --kill-whom=main --signal=USR2 pptpproxy.service" in asked
        assert not re.search(r"\b(restart|stop|try-restart)\b", asked), asked
        assert not watch.gone(service.proc.pid)

        machine.run(["dpkg", "--no-triggers", "-r", "pptpproxy"])
        assert service.proc.wait(10) == 0, service.log.tail()
        service.supervisor.wait("STOPPING=1", mark)
        assert "stop pptpproxy.service" in machine.read("/run/systemctl.log")
        assert machine.exists("/etc/pptpproxy.conf") and machine.exists(log)
        machine.run(["dpkg", "--no-triggers", "-P", "pptpproxy"])
        ours = {"/etc/pptpproxy/allow", "/etc/hosts", "/var/lib/logrotate/status", "/var/lib/logrotate.status"}
        left = {path for path in machine.changed() if not STAYS.search(path)} - ours
        assert not left, sorted(left)
        assert not machine.exists("/var/log/pptpproxy") and not machine.exists("/run/pptpproxy")


@tap.deadline(300)
def test_documents():
    "what the installed documents name is there"
    with tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as directory:
        subprocess.run(["dpkg-deb", "-x", package(), directory], check=True)
        place = Path(directory, "usr/share/doc/pptpproxy")
        assert not (place / "README.md").exists() and not (place / "examples/README").exists()
        pages = sorted(place.glob("docs/*.md"))
        assert len(pages) > 5
        for page in pages:
            text = page.read_text()
            for link in re.findall(r"\]\((?!http)([^)#]+)", text):
                assert (page.parent / link).exists(), f"{page.name}: {link}"
            for path in re.findall(r"`/(usr/share/doc/[^`]+)`", text):
                assert Path(directory, path).exists(), f"{page.name}: {path}"
            for path, behind in re.findall(r"`((?:packaging|bench|tools)/[^`]*)`(.{0,15})", text):
                assert behind.startswith(" of the sources"), f"{page.name}: {path}"


@tap.deadline(300)
def test_readme():
    "README.md's lines build, install, configure and enable it, as they stand there"
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    [lines] = [block for block in blocks if "make deb" in block]
    with Machine(packages()) as machine:
        if not machine.exists(ROOT / "Makefile"):
            raise Skip("the tree is on another file system than /")
        machine.write("/usr/local/sbin/sudo", '#!/bin/sh\nexec "$@"\n', 0o755)
        machine.write("/usr/local/sbin/editor", '#!/bin/sh\nsed -i "s/^#proxy /proxy /" "$1"\n', 0o755)
        # One of a build before is not meant.
        machine.write(ROOT / "build/deb/pptpproxy_9.9.9-1_all.deb", "")
        machine.run(["sh", "-eu", "-c", f"cd {ROOT}\n{lines}"], timeout=200)
        version = re.search(r'^#define VERSION "(.*)"', (ROOT / "options.c").read_text(), re.M)[1]
        assert machine.run(["dpkg-query", "-W", "-f", "${Status} ${Version}", "pptpproxy"]).stdout == f"install ok installed {version}-1"
        assert machine.run(["/usr/sbin/pptpproxy", "-c", "/etc/pptpproxy.conf", "--check"]).stdout == "OK\n"
        assert machine.read("/run/systemctl.log").endswith("enable --now pptpproxy\n")


@tap.deadline(300)
def test_fast_path():
    "with the manual's lines for systemctl edit the service has a fast path; without them it says why not"
    page = (ROOT / "man/pptpproxy.8").read_text()
    [drop_in, other] = re.findall(r"^\.Bd -literal -offset indent\n(\[Service\]\n.*?)\.Ed$", page, re.M | re.S)
    assert "MemoryDenyWriteExecute" in other
    with Lab() as lab, Machine(packages()) as machine:
        machine.run(["dpkg", "--no-triggers", "-i", f"/run/debs/{package().name}"])
        lab.pptpd(lab.net.vpn, 10)
        conf = "proxy vpn.example.com\nfastpath auto\nacl 192.0.2.0/24\n"
        for text, said in ((None, "no fast path: "), (f"{drop_in}{other.replace('[Service]', '')}", r"fast path: (native|generic)")):
            service = Service(lab, machine, conf, text)
            if text and service.log.matching("no fast path: this kernel"):
                raise Skip("this kernel has none")
            service.log.wait(said)
            call = lab.call(lab.net.workstation, "192.0.2.1", 10)
            call.ping(2)
            call.hang_up()
            service.stop()


if __name__ == "__main__":
    tap.main()
