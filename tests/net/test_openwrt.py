#!/usr/bin/python3
"""packaging/openwrt: the UCI file and the init script under busybox ash, the package built by its Makefile.

What is OpenWrt's own has stand-ins in tests/openwrt: the shell functions, procd, the build system.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap
from lab.examples import Lab, Machine
from lab.netns import RUN_PREFIX, need
from lab.proc import Proc
from lab.proxy import CALL_ENDED, READY, ROOT, program
from lab.topo import DualHomed

FILES = ROOT / "packaging/openwrt/pptpproxy/files"
STAND_INS = ROOT / "tests/openwrt"
SETTINGS = """\
config pptpproxy 'main'
	option enabled '1'
	list proxy 'vpn.example.com'
	list acl '192.0.2.0/24'
"""
INSTANCE_OF = {"command", "file", "reload_signal", "respawn", "stdout", "stderr"}


class Router:
    """A machine with the init script, a UCI file, and busybox alone for commands."""

    def __init__(self, room, settings):
        need("busybox")
        self.room = room
        commands = room.directory / "bin"
        commands.mkdir()
        subprocess.run(["busybox", "--install", "-s", commands], check=True)
        self.init = room.directory / "init"
        text = (FILES / "pptpproxy.init").read_text()
        assert text.count("PROGRAM=/usr/sbin/pptpproxy\n") == 1
        self.init.write_text(text.replace("PROGRAM=/usr/sbin/pptpproxy\n", f"PROGRAM={program()}\n"))
        (room.etc / "config").mkdir()
        self.config = room.etc / "config/pptpproxy"
        self.config.write_text(settings)
        self.said = room.directory / "said"
        self.file = room.run / "pptpproxy.conf"
        self.environment = {"PATH": str(commands), "SAID": str(self.said)}

    def rc(self, action):
        """The init script's status and words."""
        self.said.write_text("")
        process = Proc(["/bin/busybox", "ash", STAND_INS / "rc.common", self.init, action], room=self.room,
                       env=self.environment, name=f"init {action}")
        return process.wait(30), process.text()

    def heard(self, name):
        """The words of each call of this function."""
        lines = self.said.read_text().splitlines()
        return [line.split("\t")[1:] for line in lines if line.split("\t")[0] == name]

    def parameters(self):
        return {words[0]: words[1:] for words in self.heard("procd_set_param")}

    def lines(self):
        return self.file.read_text().splitlines()


def option_names():
    """Each option of the program that a configuration file takes, as UCI names it."""
    process = Proc([program(), "--help"])
    assert process.wait() == 0
    names = re.findall(r"^  (?:-\w, |    )--([\w-]+)", process.text(), re.M)
    with Machine() as machine:
        def taken(name):
            (machine.etc / "conf").write_text(f"{name}\n")
            check = Proc([program(), "-c", "/etc/conf", "--check", "-p", "192.0.2.1"], room=machine)
            check.wait()
            return "command line only" not in check.text()

        # What the init script itself gives; and the one whose name has a capital has a second one.
        return {name.replace("-", "_").replace("aclCmd", "acl_cmd") for name in names if taken(name)} - {
            "nofork", "ready_fd"}


def offered():
    """What stands in the UCI file behind a #: (word, name, value)."""
    return re.findall(r"^#\t(option|list) (\w+) '(.*)'$", (FILES / "pptpproxy.config").read_text(), re.M)


def test_syntax():
    "busybox ash reads the script to its end"
    done = subprocess.run(["busybox", "ash", "-n", FILES / "pptpproxy.init"], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_uci_file_has_each_option():
    "the UCI file has each option of the program once, and no other"
    names = [name for _, name, _ in offered()]
    assert sorted(names) == sorted(option_names()), set(names) ^ option_names()


def test_uci_file_with_all_options():
    "with each line of the UCI file in force the program takes all of them, as they stand there"
    text = (FILES / "pptpproxy.config").read_text()
    text = re.sub(r"^#\t(option|list) ", r"\t\1 ", text, flags=re.M).replace("option enabled '0'", "option enabled '1'")
    with Machine() as room:
        (room.etc / "pptpproxy.allow").write_text("#!/bin/sh\n")
        (room.etc / "pptpproxy.allow").chmod(0o755)
        with (room.etc / "passwd").open("a") as users:
            users.write("pptpproxy:x:1723:65534::/nonexistent:/bin/false\n")
        router = Router(room, text)
        status, said = router.rc("start")
        assert status == 0, said
        # debug and extensive are off
        wanted = [f"{name.replace('_', '-')} {value}" for _, name, value in offered() if name not in ("debug", "extensive")]
        assert router.lines() == wanted, router.lines()
        assert router.parameters()["command"] == [str(program()), "-n", "-c", "/var/run/pptpproxy.conf"]


def test_repeatable_options_are_lists():
    "what the manual calls repeatable is a list in the UCI file, and nothing else is"
    manual = (ROOT / "man/pptpproxy.8").read_text()
    items = re.findall(r"^\.It Fl ((?:(?!^\.It Fl ).*\n)*)", manual, re.M)
    repeatable = {item.splitlines()[0] for item in items if "Repeatable" in item}
    assert len(repeatable) == 4, repeatable
    for word, name, _ in offered():
        named = any(re.search(rf"-{name.replace('_', '-')}( |$)", item) for item in repeatable)
        assert named == (word == "list"), name


def test_values():
    "values keep their blanks, quotes and backslashes; what takes no value stands alone or not at all"
    settings = SETTINGS + r"""
	list acl '10.0.0.0/8'
	list acl_cmd '/bin/sh -c "exit \$1" a\ b'
	option debug 'yes'
	option extensive 'off'
config other 'one'
	option proxy '192.0.2.99'
"""
    with Machine() as room:
        router = Router(room, settings)
        status, said = router.rc("start")
        assert status == 0, said
        assert router.lines() == ["proxy vpn.example.com", "acl 192.0.2.0/24", "acl 10.0.0.0/8",
                                  r'acl-cmd /bin/sh -c "exit \$1" a\ b', "debug"], router.lines()


def test_documented_settings():
    "the settings that docs/openwrt.md shows are good"
    text = (ROOT / "docs/openwrt.md").read_text()
    blocks = re.findall(r"^(config pptpproxy 'main'\n(?:\t.*\n)+)", text, re.M)
    assert len(blocks) > 1, text
    for block in blocks:
        with Machine() as room:
            router = Router(room, block)
            status, said = router.rc("start")
            assert status == 0 and router.heard("procd_open_instance"), said


def test_documented_chains():
    "the chains that docs/openwrt.md shows load inside the table that the router's firewall puts them into"
    need("nft")
    [block] = re.findall(r"^```\n(chain .*?)^```", (ROOT / "docs/openwrt.md").read_text(), re.M | re.S)
    with DualHomed() as net, tempfile.NamedTemporaryFile("w", prefix=RUN_PREFIX, suffix=".nft") as file:
        file.write(block)
        file.flush()
        net.firewall.run(["nft", "-f", "-"], input=f'table inet fw4 {{\n\tinclude "{file.name}"\n}}\n')
        loaded = net.firewall.run(["nft", "list", "table", "inet", "fw4"]).stdout
        assert loaded.count("ip protocol gre notrack") == 2, loaded


def test_service():
    "procd gets one instance that is started for ever, logs, and is told of a changed file by a signal"
    with Machine() as room:
        router = Router(room, SETTINGS)
        status, said = router.rc("start")
        assert status == 0 and not said, said
        parameters = router.parameters()
        assert set(parameters) == INSTANCE_OF, parameters
        assert parameters["file"] == ["/var/run/pptpproxy.conf"] and parameters["reload_signal"] == ["HUP"]
        assert parameters["respawn"][2] == "0"
        assert parameters["stdout"] == parameters["stderr"] == ["1"]
        for name in ("procd_open_service", "procd_open_instance", "procd_close_instance", "procd_close_service"):
            assert len(router.heard(name)) == 1, name
        assert router.heard("procd_add_reload_trigger") == [["pptpproxy"]]


def test_disabled():
    "as it comes it is disabled: procd gets a service without an instance"
    with Machine() as room:
        router = Router(room, (FILES / "pptpproxy.config").read_text())
        status, said = router.rc("start")
        assert status == 0 and not said, said
        assert router.heard("procd_close_service") and not router.heard("procd_open_instance")


def _refused(router, *expected):
    """Told in a line that has these words, on standard error and in the log; procd hears nothing, the file stays."""
    before = router.file.read_bytes() if router.file.exists() else None
    status, said = router.rc("reload")
    assert status == 1, said
    [line] = said.splitlines()
    assert line.startswith("/etc/config/pptpproxy: ") and all(word in line for word in expected), line
    assert router.heard("logger") == [["-t", "pptpproxy", "-p", "daemon.err", line]], router.said.read_text()
    assert not router.heard("procd_close_service"), router.said.read_text()
    assert (router.file.read_bytes() if router.file.exists() else None) == before
    assert not list(router.room.run.glob("*.new"))


def test_bad_values():
    "a bad value is named, and neither procd nor the file that is in use hears of it"
    with Machine() as room:
        router = Router(room, SETTINGS)
        assert router.rc("start")[0] == 0
        for line, *expected in (("option keepalive '0'", "keepalive 0: must be 1 to"),
                                ("list acl '192.0.2.0/33'", "acl 192.0.2.0/33: "),
                                ("option keep_alive '1'", "keep-alive"),
                                ("option user 'nosuchuser'", "nosuchuser"),
                                ("option log '/tmp/a\nacl 0.0.0.0/0'", "log: a value is one line")):
            router.config.write_text(f"{SETTINGS}\t{line}\n")
            _refused(router, *expected)
        router.config.write_text("config pptpproxy 'main'\n\toption enabled '1'\n")
        _refused(router, "-p")


def test_call_and_reload():
    "what procd is to start takes calls; a reload changes who may call, and ends none"
    with Lab() as lab:
        lab.pptpd(lab.net.vpn, 10)
        room = lab.machine()
        router = Router(room, SETTINGS)
        assert router.rc("start")[0] == 0
        parameters = router.parameters()
        with Proc(parameters["command"], ns=lab.net.home, room=room) as daemon:
            daemon.log.wait(READY, 30)
            call = lab.call(lab.net.workstation, "192.0.2.1", 10)
            router.config.write_text(SETTINGS.replace("192.0.2.0/24", "192.0.2.99"))
            assert router.rc("reload")[0] == 0
            daemon.signal(signal.Signals["SIG" + router.parameters()["reload_signal"][0]])
            daemon.log.wait("SIGHUP: new configuration in use")
            lab.refused(lab.net.workstation, "192.0.2.1", daemon)
            call.ping(2)
            call.hang_up()
            daemon.log.wait(CALL_ENDED)
            assert daemon.stop() == 0


@tap.deadline(300)
def test_package():
    "the package is built from the tree without the fast path, has this version, and its libraries are those it depends on"
    with Machine() as room:
        top, root = room.directory / "top", room.directory / "root"
        top.mkdir()
        root.mkdir()
        shutil.copy(STAND_INS / "Build.mk", top / "rules.mk")
        (top / "package.mk").write_text("")
        package = ROOT / "packaging/openwrt/pptpproxy"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(["make", "-j2", "-C", package, f"TOPDIR={top}", f"ROOT={root}", "all"], env=environment,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {"version", "depends"}
        assert files == {"usr/sbin/pptpproxy", "etc/init.d/pptpproxy", "etc/config/pptpproxy"}, files
        assert os.access(root / "etc/init.d/pptpproxy", os.X_OK)
        version = subprocess.run([root / "usr/sbin/pptpproxy", "--version"], capture_output=True, text=True).stdout
        assert version.split()[1] == (root / "version").read_text().strip(), version
        dynamic = subprocess.run(["readelf", "-d", root / "usr/sbin/pptpproxy"], capture_output=True, text=True).stdout
        needed = set(re.findall(r"NEEDED.*\[lib([\w-]+?)(?:-2\.1)?\.so", dynamic)) - {"c"}
        packages = {re.sub(r"^\+(lib)?", "", name).replace("event2-", "event_") for name in
                    (root / "depends").read_text().split()}
        assert needed == packages, (needed, packages)


if __name__ == "__main__":
    tap.main()
