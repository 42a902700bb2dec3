#!/usr/bin/python3
"""packaging/daemontools under real svscan, supervise and multilog, as it stands there.

The networks and names are those of the manual page's examples, which the run file's options are
made for.
"""

import os
import re
import shutil
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

PACKAGE = ROOT / "packaging/daemontools"
# Passes SIGTERM on and notes the exit status, which supervise keeps to itself.
WITNESS = """\
#!/usr/bin/python3
import signal, subprocess, sys
process = subprocess.Popen(["{program}", *sys.argv[1:]])
signal.signal(signal.SIGTERM, lambda *_: process.terminate())
status = process.wait()
with open("{file}", "w") as file:
    file.write(str(status))
sys.exit(status)
"""


class Service:
    """The home firewall with svscan and a copy of the package; ready to take calls.

    witness   let a script stand between supervise and the program: .status is its exit status
    """

    def __init__(self, lab, witness=False):
        need("svscan", "supervise", "svc", "svstat", "multilog")
        self.lab, self.ns, self.room = lab, lab.net.home, lab.machine()
        self.services = self.room.directory / "service"
        self.directory = self.services / "pptpproxy"
        self.current = self.directory / "log/main/current"
        self.status_file = self.room.directory / "status"
        shutil.copytree(PACKAGE, self.directory)
        commands = self.room.directory / "bin"
        commands.mkdir()
        if witness:
            (commands / "pptpproxy").write_text(WITNESS.format(program=program(), file=self.status_file))
            (commands / "pptpproxy").chmod(0o755)
        else:
            (commands / "pptpproxy").symlink_to(program())
        self.svscan = Proc(["svscan", self.services], ns=self.ns, room=self.room,
                           env={"PATH": f"{commands}:{os.environ['PATH']}"})
        self.wait_log(READY, timeout=30)

    def log(self):
        """What multilog wrote, each line with its label."""
        return self.current.read_text().splitlines() if self.current.exists() else []

    def said(self, pattern):
        return [line for line in self.log() if re.search(pattern, line)]

    def wait_log(self, pattern, count=1, timeout=15):
        wait_until(lambda: len(self.said(pattern)) >= count, timeout,
                   f"{count} lines /{pattern}/; {self.log()} {self.svscan.log.tail()}")

    def svc(self, options, *directories):
        self.ns.run(["svc", options, *(directories or (self.directory,))])

    def svstat(self):
        return self.ns.run(["svstat", self.directory]).stdout

    def wait_up(self, other_than=None):
        """The pid, which is not this one."""
        def look():
            found = re.search(r": up \(pid (\d+)\)", self.svstat())
            return found and int(found[1]) != other_than and int(found[1])

        return wait_until(look, 15, "the service to be up")

    def close(self):
        """As daemontools' own manual has it: out of svscan's sight first, or it starts anew what ends."""
        gone = self.room.directory / "gone"
        self.directory.rename(gone)
        both = (gone, gone / "log")
        self.svc("-dx", *both)
        wait_until(lambda: all(self.ns.run(["svok", one], check=False).returncode for one in both), 15,
                   "both supervise to end")
        self.svscan.stop()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def test_files():
    "both run files are there and can be executed"
    for name in ("run", "log/run"):
        mode = (PACKAGE / name).stat().st_mode
        assert stat.S_IMODE(mode) & 0o111 == 0o111, name


def test_comes_up_and_carries_a_call():
    "svscan starts it, calls come up, and multilog alone stamps its lines"
    with Lab() as lab:
        lab.pptpd(lab.net.vpn, 10)
        with Service(lab) as service:
            service.wait_up()
            lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()
            service.wait_log(CALL_ENDED)
            service.svc("-h")
            service.wait_log("SIGHUP:")
            for line in service.log():
                label, text = line.split(" ", 1)
                assert re.fullmatch("@[0-9a-f]{24}", label), line
                assert not re.match(r"[\d@]", text), f"a time stamp of its own: {line}"


def test_restarted_after_being_killed():
    "killed, it is started anew and takes calls"
    with Lab() as lab:
        lab.pptpd(lab.net.vpn, 10)
        with Service(lab) as service:
            pid = service.wait_up()
            os.kill(pid, signal.SIGKILL)
            new = service.wait_up(other_than=pid)
            service.wait_log(READY, count=2)
            assert service.said(rf"{READY}.*pid {new},"), service.log()
            lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()


def test_stops():
    "svc -d ends it with status 0, and it stays down; svc -u starts it again"
    with Lab() as lab, Service(lab, witness=True) as service:
        pid = service.wait_up()
        service.svc("-d")
        wait_until(lambda: ": down " in service.svstat(), what="the service to be down")
        assert service.status_file.read_text() == "0"
        assert watch.gone(pid)
        service.wait_log("stopped$")
        assert not service.said("warning|error")
        service.svc("-u")
        service.wait_log(READY, count=2)


def test_error_reaches_the_log():
    "what is wrong at the start stands in multilog's file, too"
    with Lab() as lab, Service(lab) as service:
        run = service.directory / "run"
        text = run.read_text()
        run.write_text(text.replace("192.0.2.0/24", "192.0.2.0/33"))
        assert run.read_text() != text
        service.svc("-t")
        service.wait_log(r"pptpproxy: -a 192\.0\.2\.0/33: ")


if __name__ == "__main__":
    tap.main()
