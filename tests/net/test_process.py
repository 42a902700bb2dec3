#!/usr/bin/python3
"""The program as a process: its command line, the background, its log, signals, one instance a network namespace."""

import fcntl
import os
import pty
import re
import signal
import socket
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, tcp, watch
from lab.fake import Ended, World, wait_listening
from lab.messages import CCRQ, CDN, ECHO_RQ, OCRP, OCRQ, STOP_RQ, build
from lab.netns import Room, private_mounts
from lab.place import Directory
from lab.proc import Lines, Proc, wait_until
from lab.proxy import CALL_ENDED, CLOSED, READY, START, Proxy, program

SHUTDOWN = 3.0 + 2.0 * tap.slowdown()  # what is promised, and a loaded machine's share
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} "
LOCAL_SHUTDOWN = 3
SERVER = "10.2.0.10"
CONTROL = "\0pptpproxy"  # the control socket's name, unless --control gives another


def _fails(ns, words, *expected, quiet=True):
    """The program ends 1 with a line or two on standard error that name what is wrong."""
    done = ns.run([program(), *words], check=False, timeout=30)
    told = f"{' '.join(map(str, words))}: status {done.returncode}: {done.stdout}{done.stderr}"
    assert done.returncode == 1, told
    if quiet:
        assert done.stdout == "", told
        assert 1 <= len(done.stderr.splitlines()) <= 2, told
    for text in expected:
        assert text in done.stderr, f"{text!r} is not in: {told}"


# ---- the command line ----


def test_bad_words_are_named():
    "every bad word of a command line is named in a line or two on standard error, exit 1"
    pair = ["-p", SERVER]
    bad = [
        ([], "-p"), (["-n"], "-p"), (["-p"], "-p"), (["--proxy"], "--proxy"), (["-p", ""], "peer"),
        (["-p", f"{SERVER}:0"], "'0'"), (["-p", f"{SERVER}:65536"], "'65536'"), (["-p", f"{SERVER}:x"], "'x'"),
        (["-p", f"{SERVER}:"], "port"), (["-p", f"{SERVER}:17 23"], "'17 23'"), (["-p", f"{SERVER}:-1"], "'-1'"),
        (["-p", f"10.1.0.1:0,{SERVER}"], "'0'"), (["-p", f"10.1.0.1:99999,{SERVER}"], "'99999'"),
        (["-p", "10.1.0.1,10.2.0.10,10.2.0.11"], "10.1.0.1,10.2.0.10,10.2.0.11"), (["-p", "10.1.0.1,"], "peer"),
        (["-p", f",{SERVER}"], "listen"), (["-p", "256.0.0.1"], "256.0.0.1"), (["-p", "10.2.0"], "10.2.0"),
        (["-p", "::1"], "IPv6"), (["-p", "[2001:db8::1]:1723"], "IPv6"), (["-p", f"fe80::1,{SERVER}"], "IPv6"),
        (["-p", "no_host!"], "no_host!"), (["-p", "two words"], "two words"), (["-p", "-x-"], "-x-"),
        (["-p", "224.0.0.1"], "224.0.0.1"), (["-p", "0.0.0.0"], "0.0.0.0"), (["-p", "0.1.2.3"], "0.1.2.3"),
        ([*pair, "-a", "10.0.0.0/33"], "10.0.0.0/33"), ([*pair, "-a", "10.0.0.0/"], "10.0.0.0/"),
        ([*pair, "-a", "10.0.0.0/255.255.0"], "255.255.0"), ([*pair, "-a", "ten/8"], "ten"),
        ([*pair, "-a", "10.0.0.0/-1"], "-1"), ([*pair, "-a", ""], "-a"), ([*pair, "-a", "10.0.0.256"], "10.0.0.256"),
        ([*pair, "-x", ""], "-x"), ([*pair, "-x", "/bin/true 'open"], "-x"),
        ([*pair, "-x", "/no/such/command"], "/no/such/command"), ([*pair, "-x", "no-such-command"], "no-such-command"),
        ([*pair, "-x", "/etc/passwd"], "/etc/passwd"), ([*pair, "--acl-cmd", "/etc"], "/etc"),
        ([*pair, "--acl-mode", "maybe"], "maybe"), ([*pair, "--zzz"], "--zzz"), ([*pair, "-z"], "-z"),
        ([*pair, "stray"], "stray"), ([*pair, "--", "stray"], "stray"), (["stray", *pair], "stray"),
        ([*pair, "-l", ""], "-l"), ([*pair, "-l", "/no/such/directory/log"], "/no/such/directory/log"),
        ([*pair, "-l", "/etc"], "/etc"), ([*pair, "--control", ""], "--control"), ([*pair, "--control", "@"], "control"),
        ([*pair, "--control", "/no/such/directory/socket"], "/no/such/directory/socket"),
        ([*pair, "--nofork=yes"], "--nofork"),
    ]
    for name, most in (("acl-timeout", 3600), ("acl-parallel", 1024), ("connect-timeout", 3600),
                       ("handshake-timeout", 3600), ("keepalive", 10800), ("max-connections", 1000000),
                       ("max-per-source", 1000000), ("max-rate-per-source", 100000), ("max-calls", 65535),
                       ("max-waiting-checks", 65535), ("max-early-packets", 2048)):
        for value in ("0", "-1", "x", "1.5", "", str(most + 1), "99999999999999999999"):
            bad.append(([*pair, f"--{name}", value], f"--{name}"))
    with World(proxy=False) as world:
        for words, text in bad:
            _fails(world.net.firewall, words, text)
            _fails(world.net.firewall, ["-n", *words], text)


def test_addresses_that_cannot_be_had_are_named():
    "a listen address that is not this host's, a taken port, and a pid file that cannot be written are named, exit 1"
    with World(proxy=False) as world:
        firewall = world.net.firewall
        with firewall:
            taken = socket.create_server(("10.1.0.1", 1723))
        with closing(taken):
            for words in ([], ["-n"]):
                _fails(firewall, [*words, "-p", f"192.0.2.1,{SERVER}"], "192.0.2.1")
                _fails(firewall, [*words, "-p", f"10.1.0.1,{SERVER}"], "10.1.0.1:1723")
                _fails(firewall, [*words, "-p", SERVER], "0.0.0.0:1723")
                _fails(firewall, [*words, "-p", f"0.0.0.0:1800,{SERVER}", "--pid-file", "/no/such/directory/pid"],
                       "/no/such/directory/pid", quiet="-n" not in words)


def test_pairs_that_dial_themselves_are_errors():
    "a pair that would dial itself, directly, by any address of this host or in a circle, is an error that names it"
    with World(proxy=False) as world:
        for words in (["-p", "10.1.0.1,10.1.0.1"], ["-p", "10.1.0.1"], ["-p", "127.0.0.1"], ["-p", "127.9.9.9"],
                      ["-p", "10.2.0.1:1723"], ["-p", "0.0.0.0:4000,10.2.0.1:4000"],
                      ["-p", "10.1.0.1:1801,10.1.0.1:1802", "-p", "10.1.0.1:1802,10.1.0.1:1801"]):
            _fails(world.net.firewall, words, words[1].rpartition(",")[2].partition(":")[0])
        chain = ["-p", f"10.2.0.1:1801,{SERVER}", "-p", "10.1.0.1:1802,10.2.0.1:1801"]
        with Proxy(world.net.firewall, chain):
            pass  # itself by way of another pair, but not in a circle


def test_help_and_version():
    "help and version go to standard output, exit 0, whatever else is there"
    with World(proxy=False) as world:
        for words in (["-h"], ["--help"], ["-p", SERVER, "-h"], ["-h", "stray"]):
            done = world.net.firewall.run([program(), *words])
            assert "--proxy" in done.stdout and done.stderr == ""
            assert len(done.stdout.splitlines()) <= 64 and max(map(len, done.stdout.splitlines())) <= 80
        for words in (["-v"], ["--version"], ["-p", SERVER, "-v"]):
            done = world.net.firewall.run([program(), *words])
            assert re.fullmatch(r"pptpproxy \d+\.\d+\.\d+\n", done.stdout) and done.stderr == ""


def test_conflicting_pairs_are_ignored():
    "a pair whose listen address conflicts with an earlier one's is ignored with a warning; the earlier one works"
    with World(servers=2, pairs=[SERVER, "10.2.0.11", "10.1.0.1,10.2.0.11", "0.0.0.0:1800,10.2.0.11"]) as world:
        world.log.wait("warning: .*ignored", count=2)  # the worker's; its line of readiness is the keeper's
        ignored = world.log.matching("warning: .*ignored")
        assert len(ignored) == 2, ignored
        assert "10.2.0.11" in ignored[0] and "10.1.0.1" in ignored[1]
        world.session().check()
        client = world.dial(port=1800)
        client.send(build(1))
        world.servers[1].accept().expect(1)


def test_pairs_on_one_port_of_different_addresses():
    "pairs with one port on different addresses of the firewall lead to different servers"
    with World(servers=2, pairs=[f"10.1.0.1,{SERVER}", "10.2.0.1,10.2.0.11"]) as world:
        assert not world.log.matching("ignored")
        for to, server in (("10.1.0.1", 0), ("10.2.0.1", 1)):
            world.dial(to=to).send(build(1))
            world.servers[server].accept().expect(1)


def test_sources_without_rules_are_told():
    "without -a and -x the log says at the start that any source may connect"
    with World() as world:
        assert len(world.log.matching("any source")) == 1
    with World(["-a", "0.0.0.0/0"]) as world:
        assert not world.log.matching("any source")


def test_bad_words_are_told_in_the_log_file():
    "what is wrong with the command line stands in the file of -l as well, wherever the bad word is"
    with World(proxy=False) as world, Directory() as directory:
        log, firewall = directory / "log", world.net.firewall
        bad = ["-p", f"10.1.0.1:0,{SERVER}"], ["-p", SERVER, "-x", "/nonexistent"]
        for words, text in zip(bad, ("'0'", "/nonexistent")):
            for line in ([*words, "-l", log], ["-l", log, *words], ["-n", *words, "-l", log]):
                _fails(firewall, line, text)
                lines = log.read_text().splitlines()
                assert [told for told in lines if re.match(STAMP, told) and text in told], (line, lines)
                log.unlink()
        assert not firewall.pids(), "something was left running"


def _checked(ns, words):
    """The outcome of --check: ("OK", ""), ("OK", warnings) or ("", its one line)."""
    done = ns.run([program(), "--check", *words], check=False, timeout=30)
    told = f"{words}: status {done.returncode}: {done.stdout}{done.stderr}"
    good = done.returncode == 0
    assert done.stdout == ("OK\n" if good else ""), told
    assert not good or re.fullmatch("(warning: .*\n)*", done.stderr), told
    assert good or re.fullmatch("pptpproxy: .+\n", done.stderr), told
    return done.stdout.strip(), done.stderr.removeprefix("pptpproxy: ").rstrip("\n")


def test_check_says_whether_options_are_good():
    "--check: OK and exit 0, or one line and exit 1: words, the file's lines, commands"
    with World(proxy=False) as world, Directory() as directory:
        firewall, conf = world.net.firewall, directory / "conf"
        # Of an address that is not this host's, and a name: it neither listens nor asks.
        conf.write_text("proxy 192.0.2.1,server.invalid\nacl-cmd true 'a # b' # c\n")
        for words in (["-p", SERVER], ["-p", SERVER, "-x", "/bin/true word"], ["-c", conf], ["-nc", conf, "-p", f"192.0.2.3,{SERVER}"]):
            assert _checked(firewall, words) == ("OK", ""), words
        out, told = _checked(firewall, ["-p", SERVER, "-p", f"192.0.2.1,{SERVER}"])
        assert out == "OK" and f"warning: pair 192.0.2.1:1723,{SERVER}:1723 ignored: " in told, told
        bad = [
            ([], "at least one -p"), (["-p", f"{SERVER}:0"], "'0'"), (["-z", "-c", conf], "unknown option -z"),
            (["-p", SERVER, "-x", "/no/such/command"], "/no/such/command"),
            (["-p", SERVER, "-x", "/etc/passwd"], "/etc/passwd"),
            (["-c", directory / "none"], f"cannot read {directory / 'none'}: No such file"),
            (["-p", SERVER, "-c", directory.path], f"cannot read {directory.path}: it is not a regular file"),
            (["-p", SERVER, "-c", ""], "-c"),
            (["-p", SERVER, "--user", "nosuchuser"], "user 'nosuchuser': no such user"),
            (["-p", "127.0.0.1,127.0.0.1"], "would dial itself"),
            (["-p", "127.0.0.1:1801,127.0.0.1:1802", "-p", "127.0.0.1:1802,127.0.0.1:1801"],
             "would dial itself by way of other pairs"),
            (["-p", SERVER, "-l", directory / "none/log"],
             f"cannot open log file {directory / 'none/log'}: No such file or directory"),
            (["-p", SERVER, "--pid-file", directory / "none/pid"],
             f"cannot write pid file {directory / 'none/pid'}: No such file or directory"),
        ]
        for words, text in bad:
            out, told = _checked(firewall, words)
            assert not out and text in told, (words, told)
        for text, told in (("nofork\nfoo 3\n", "line 2: unknown option 'foo'"), ("keepalive 0", "line 1: keepalive 0: "),
                           ("acl-cmd /no/such/command", "/no/such/command"), ("#" * 4097, "4096 octets"),
                           ("#\n" * (1 << 19) + "#", f"cannot read {conf}: it is larger than 1048576 octets")):
            conf.write_text(text)
            out, line = _checked(firewall, ["-c", conf, "-p", SERVER])
            assert not out and told in line, (text[:40], line)
            assert "line" not in told or line.startswith(f"{conf} line "), line


def test_check_touches_nothing():
    "--check while an instance runs: OK, no log, no pid file, no control socket, and the instance goes on"
    with World(proxy=False) as world, Directory() as directory:
        words = ["-p", SERVER]
        with Proxy(world.net.firewall, words) as proxy:
            before = world.net.firewall.pids()
            more = ["-l", directory / "log", "--pid-file", directory / "pid", "--control", directory / "socket"]
            assert _checked(world.net.firewall, words) == ("OK", "")
            assert _checked(world.net.firewall, [*words, *more]) == ("OK", "")
            for bad in (["-z"], ["-x", "/no/such/command"]):
                assert _checked(world.net.firewall, [*words, *more, *bad])[0] == ""
            assert not os.listdir(directory.path)
            assert world.net.firewall.pids() == before and proxy.running()
            world.session().check()


def test_options_from_a_file():
    "-c: the file's pairs and the command line's are served, a single value is the command line's"
    with World(servers=2, proxy=False) as world, Directory() as directory:
        conf, log = directory / "conf", directory / "log"
        conf.write_text(f"# a\r\nproxy 10.1.0.1:1800,{SERVER}  # b\nlog {directory / 'other'}\n")
        words = ["-p", "10.1.0.1:1801,10.2.0.11", "-c", conf, "-l", log]
        with Proxy(world.net.firewall, words, log_file=log):
            for port, server in ((1800, 0), (1801, 1)):
                client = world.dial(port=port)
                client.send(build(1))
                world.servers[server].accept().expect(1)
        assert os.listdir(directory.path).count("other") == 0


def test_bad_file_is_told_in_the_log_file():
    "a bad line of the file is one line on standard error and in the log, whose name may stand behind it; --help goes on"
    with World(proxy=False) as world, Directory() as directory:
        conf, log = directory / "conf", directory / "log"
        conf.write_text(f"foo\nlog {log}\nproxy {SERVER}\n")
        for words in (["-c", conf], ["-n", "--config", conf]):
            _fails(world.net.firewall, words, f"{conf} line 1: unknown option 'foo'")
            assert [line for line in log.read_text().splitlines() if re.match(STAMP, line) and "'foo'" in line]
            log.unlink()
        _fails(world.net.firewall, ["-c", directory / "none", "-l", log, "-p", SERVER], "none: No such file")
        assert "No such file" in log.read_text()
        for path in (conf, directory / "none"):
            for word in ("-h", "-v"):
                done = world.net.firewall.run([program(), "-c", path, word])
                assert "pptpproxy" in done.stdout and done.stderr == ""


def test_file_that_nobody_writes_holds_nobody():
    "a configuration file that is a pipe is an error at once"
    with World(proxy=False) as world, Directory() as directory:
        os.mkfifo(directory / "pipe")
        _fails(world.net.firewall, ["-c", directory / "pipe", "-p", SERVER], "pipe: it is not a regular file")


# ---- background ----


class RawLines(Lines):
    """syslog's datagrams as they are, priorities included."""

    def read_from_datagrams(self, sock):
        def run():
            data = sock.recv(65536)
            while data:
                self.add(data.decode("utf-8", "backslashreplace"))
                data = sock.recv(65536)
            sock.close()
            self.end()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


class Daemon:
    """The program in the background, in a room with a syslog of its own."""

    def __init__(self, world, *words):
        self.room = Room("daemon")
        self.room.syslog = RawLines("syslog")
        self.pid = None
        self.directory = Directory()
        self.pid_file = self.directory / "pid"
        argv = [program(), "-p", SERVER, "--pid-file", self.pid_file, *words]
        self.parent = Proc(argv, ns=world.net.firewall, room=self.room, name="parent")

    def ready(self):
        code = self.parent.wait(15)
        assert code == 0, f"{code}: {self.parent.text()}"
        self.pid = int(self.pid_file.read_text())

    def gone(self):
        return watch.gone(self.pid)

    def end(self):
        os.kill(self.pid, signal.SIGTERM)
        wait_until(self.gone, SHUTDOWN, "the daemon to end")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.room.close()
        self.directory.close()


def test_background():
    "in the background: the parent's exit 0 means that calls are accepted; descriptors 0 to 2 are /dev/null; syslog"
    with World(proxy=False) as world, Daemon(world) as daemon:
        daemon.ready()
        session = world.session()
        session.call(5, 7).check()
        assert daemon.parent.text() == "", daemon.parent.text()
        for fd in range(3):
            assert os.stat(f"/proc/{daemon.pid}/fd/{fd}").st_rdev == os.stat("/dev/null").st_rdev
        fields = watch.stat(daemon.pid)
        assert int(fields[3]) != daemon.pid and fields[4] == "0", "it has a terminal, or can get one"
        daemon.room.syslog.wait(r"^<30>.*pptpproxy.*ready: ")  # facility daemon, informational
        daemon.room.syslog.wait(r"^<28>.*pptpproxy.*any source")  # a warning
        daemon.room.syslog.wait(r"pptpproxy.*call opened")
        assert not re.search(STAMP, daemon.room.syslog.text()), "time stamps in front of syslog's own"
        session.close()
        daemon.end()
        assert not daemon.pid_file.exists()
        daemon.room.syslog.wait("stopped")


def test_background_is_ready_at_once():
    "the first connection after the parent's exit is served, ten times in a row"
    with World(proxy=False) as world:
        for i in range(10):
            with Daemon(world, "--control", f"@d{i}") as daemon:
                daemon.ready()
                session = world.session()
                session.check()
                session.close()
                daemon.end()


def test_background_failures():
    "an error before readiness: message on standard error, exit 1, in the log as well with -l"
    with World(proxy=False) as world, Directory() as directory:
        log = directory / "log"
        _fails(world.net.firewall, ["-p", f"192.0.2.1,{SERVER}", "-l", log], "192.0.2.1")
        assert re.search(STAMP + ".*192\\.0\\.2\\.1", log.read_text())
        assert not world.net.firewall.pids(), "something was left running"


def test_background_logs_to_a_file():
    "in the background with -l: the file, not syslog"
    with World(proxy=False) as world, Directory() as directory:
        with Daemon(world, "-l", directory / "log") as daemon:
            daemon.ready()
            wait_until(lambda: re.search(READY, (directory / "log").read_text()), what="a line in the log")
            daemon.end()
            assert not daemon.room.syslog.all()


def test_pid_file():
    "the pid file holds the pid while the program runs, and a second instance leaves it alone"
    with World(proxy=False) as world, Directory() as directory:
        path = directory / "pid"
        world.words = ["--pid-file", str(path)]
        proxy = world.start()
        assert path.read_text() == f"{proxy.pid}\n"
        _fails(world.net.firewall, ["-n", "-p", f"0.0.0.0:1800,{SERVER}", "--pid-file", path], str(proxy.pid))
        assert path.read_text() == f"{proxy.pid}\n"
        proxy.stop()
        assert not path.exists()


# ---- instances ----


def test_second_instance():
    "a second instance in the network namespace ends 1 and names the first one's pid; the first goes on"
    with World() as world:
        for words in (["-n"], []):
            _fails(world.net.firewall, [*words, "-p", f"0.0.0.0:1800,{SERVER}"], str(world.proxy.pid), "running")
        world.session().call(5, 7).check()
        with Proxy(world.net.firewall, ["-p", f"0.0.0.0:1800,{SERVER}", "--control", "@another"]):
            world.session().check()
        with Proxy(world.net.client, ["-p", f"127.0.0.1:1800,{SERVER}"]):
            pass  # another network namespace


def test_control_path():
    "--control PATH: a second instance is told of the first, and a dead one's file is replaced"
    with World(proxy=False) as world, Directory() as directory:
        path = directory / "socket"
        words = ["-p", f"0.0.0.0:1800,{SERVER}", "--control", path]
        with Proxy(world.net.firewall, words) as first:
            assert path.is_socket() and path.stat().st_mode & 0o777 == 0o600
            _fails(world.net.firewall, ["-n", *words], str(first.pid))
        assert not path.exists()
        dead = Proxy(world.net.firewall, words)
        worker = dead.worker
        dead.kill()
        wait_until(lambda: watch.gone(worker), what="its worker, which has the socket as well, to follow it")
        assert path.exists()
        with Proxy(world.net.firewall, words):
            assert path.is_socket()


def test_many_callers_of_the_control_socket():
    "of a hundred silent connections to the control socket none stays, and a second instance still names the pid"
    with World() as world:
        callers = []
        try:
            # Non-blocking: where the queue is full, it says so.
            for _ in range(100):
                with world.net.firewall:
                    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                callers.append(caller)
                wait_until(lambda: _connects(caller), what=f"caller {len(callers)} to be taken")
            _fails(world.net.firewall, ["-n", "-p", f"0.0.0.0:1800,{SERVER}"], f"pid {world.proxy.pid} ", "running")
            for caller in callers:
                caller.settimeout(20 * tap.slowdown())
                while caller.recv(1024):  # most are told that we are busy
                    pass
        finally:
            for caller in callers:
                caller.close()
        world.session().check()


def _connects(caller):
    try:
        caller.connect(CONTROL)
    except BlockingIOError:
        return False
    return True


# ---- what it is born with ----


def test_descriptor_limit():
    "the soft limit of descriptors is raised to the hard one"
    with World(proxy=False) as world:
        proc = Proc(["prlimit", "--nofile=64:4096", program(), "-n", "-p", SERVER], ns=world.net.firewall)
        proc.wait_line(READY, START)
        limits = Path(f"/proc/{proc.pid}/limits").read_text()
        assert re.search(r"^Max open files +4096 +4096 ", limits, re.M), limits
        assert proc.stop() == 0


def test_blocked_signals():
    "started with SIGTERM, SIGINT and SIGHUP blocked, it ends on the first two all the same, and not on the third"
    blocked = ("import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [1, 2, 15]); "
               "os.execv(sys.argv[1], sys.argv[1:])")
    with World(proxy=False) as world:
        for number in (signal.SIGTERM, signal.SIGINT):
            proc = Proc([sys.executable, "-c", blocked, program(), "-n", "-p", SERVER], ns=world.net.firewall)
            proc.wait_line(READY, START)
            proc.signal(signal.SIGHUP)
            proc.signal(number)
            assert proc.wait(SHUTDOWN) == 0


# ---- signals ----


def _farewell(signal_number):
    with World() as world:
        out, back, incoming, waiting = (world.session() for _ in range(4))
        calls = [out.call(5, 7), back.call_back(6, 8), incoming.incoming(9, 10)]
        waiting.client.send(build(OCRQ, call_id=11))
        asked = waiting.server.expect(OCRQ).call_id
        silent, half = world.dial(), world.dial()
        half.send(build(1)[:20])
        began = time.monotonic()
        world.proxy.proc.signal(signal_number)
        # The PNS hears what a PAC would say, the PAC what a PNS would say; both then a Stop.
        out.client.expect(CDN, call_id=calls[0].client_sees)
        out.server.expect(CCRQ, call_id=calls[0].server_sees)
        back.client.expect(CCRQ, call_id=calls[1].client_sees)
        back.server.expect(CDN, call_id=calls[1].server_sees)
        incoming.client.expect(CDN, call_id=calls[2].client_sees)
        incoming.server.expect(CCRQ, call_id=calls[2].server_sees)
        refusal = waiting.client.expect(OCRP, peer_id=11)
        assert refusal.result != 1
        waiting.server.expect(CCRQ, call_id=asked)
        for session in (out, back, incoming, waiting):
            for stream in (session.client, session.server):
                stream.expect(STOP_RQ, reason=LOCAL_SHUTDOWN)
                stream.expect_end(how="EOF")
            session.close()
        silent.expect_end()
        half.expect_end()
        assert world.proxy.wait(SHUTDOWN) == 0
        assert time.monotonic() - began < SHUTDOWN
        assert len(world.log.matching(CALL_ENDED)) == 4


def test_sigterm_tells_each_end():
    "SIGTERM: the PNS hears Call-Disconnect-Notify, the PAC Call-Clear-Request, both Stop with reason 3; exit 0"
    _farewell(signal.SIGTERM)


def test_sigint_tells_each_end():
    "SIGINT: the same"
    _farewell(signal.SIGINT)


def test_sigterm_in_the_midst_of_messages():
    "SIGTERM while both ends send: what was passed on, the farewell and an end of file arrive, no reset cuts them short"
    with World(debug=False) as world:
        sessions = [world.session() for _ in range(20)]
        for i, session in enumerate(sessions):
            session.call(i, 100 + i)
        streams = [stream for session in sessions for stream in (session.client, session.server)]
        for stream in streams:
            stream.send(build(ECHO_RQ) * 50)
        world.proxy.proc.signal(signal.SIGTERM)
        for stream in streams:
            stream.send(build(ECHO_RQ) * 50)
        for stream in streams:
            heard = []
            try:
                while True:
                    heard.append(stream.receive())
            except Ended as end:
                assert end.how == "EOF", f"{end}, after {len(heard)} messages"
            assert heard[-1] == build(STOP_RQ, reason=LOCAL_SHUTDOWN), heard[-1]
            assert heard[-2].type in (CDN, CCRQ), heard[-2]
        for session in sessions:
            session.close()
        assert world.proxy.wait(SHUTDOWN) == 0


def _farewell_of_calls(count):
    with World(debug=False) as world:
        session = world.session()
        calls = [session.call(i, 1000 + i) for i in range(count)]
        world.proxy.proc.signal(signal.SIGTERM)
        client, server = session.client.drain(), session.server.drain()
        for heard, kind in ((client, CDN), (server, CCRQ)):
            kinds = [message.type for message in heard]
            assert kinds == [kind] * count + [STOP_RQ], f"{kinds.count(kind)} of {count} calls were told of"
        assert {m.call_id for m in client[:-1]} == {call.client_sees for call in calls}
        assert {m.call_id for m in server[:-1]} == {call.server_sees for call in calls}
        session.close()
        assert world.proxy.wait(SHUTDOWN) == 0


def test_sigterm_with_several_calls():
    "SIGTERM with twenty calls on a connection: each of them is told of, then one Stop"
    _farewell_of_calls(20)


def test_sigterm_with_very_many_calls():
    "SIGTERM with five hundred calls on a connection, which are more messages than a socket takes at once: the same"
    _farewell_of_calls(500)


def test_sigterm_with_peers_that_do_not_close():
    "SIGTERM, and peers that never close, never read, or stall in the middle: exit 0 in time all the same"
    with World() as world:
        idle, stalled = world.session(), world.session()
        idle.call(5, 7)
        tcp.fill(world.proxy, [(stalled.client, stalled.server)], build(ECHO_RQ, tail=bytes(1000)))
        world.dial()
        began = time.monotonic()
        world.proxy.proc.signal(signal.SIGTERM)
        world.proxy.proc.signal(signal.SIGTERM)
        assert world.proxy.wait(SHUTDOWN) == 0
        assert time.monotonic() - began < SHUTDOWN
        idle.client.expect(CDN)
        idle.client.expect(STOP_RQ, reason=LOCAL_SHUTDOWN)


def test_sighup_reopens_the_log():
    "SIGHUP: a renamed log file is left and the name opened anew; without -l nothing happens"
    with World(proxy=False) as world, Directory() as directory:
        log, old = directory / "log", directory / "log.1"
        world.words = ["-l", str(log)]
        world.start(log_file=log)
        world.session()
        os.rename(log, old)
        world.proxy.proc.signal(signal.SIGHUP)
        wait_until(log.exists, what="the log to be opened anew")
        client = world.session().client
        wait_until(lambda: f":{client.local[1]} " in log.read_text(), what="lines in the new log")
        wait_until(lambda: "connected" in log.read_text(), what="lines in the new log")
        assert f":{client.local[1]} " not in old.read_text()
        # The new one cannot be opened: the old one is kept, and a line says so.
        os.rename(log, old)
        os.mkdir(log)
        world.proxy.proc.signal(signal.SIGHUP)
        wait_until(lambda: str(log) in old.read_text(), what="a line about it")
        client = world.session().client
        wait_until(lambda: f":{client.local[1]} " in old.read_text(), what="lines in the old log")
    with World() as world:
        world.proxy.proc.signal(signal.SIGHUP)
        world.session().check()


def test_sigpipe_is_ignored():
    "SIGPIPE ends nothing: calls go on, and new ones come up"
    with World() as world:
        session = world.session()
        call = session.call(5, 7)
        for _ in range(3):
            for pid in (world.proxy.pid, world.proxy.worker):
                os.kill(pid, signal.SIGPIPE)
            session.check()
            call.check()
        world.session().call(6, 8).check()


def test_closed_standard_output():
    "standard output whose reader is gone, and closed standard descriptors, end nothing"
    with World(proxy=False) as world:
        read_end, write_end = os.pipe()
        proc = Proc([program(), "-n", "-d", "-p", SERVER], ns=world.net.firewall, stdout=write_end)
        os.close(write_end)
        wait_listening(world.net.firewall)
        os.close(read_end)
        world.session().call(5, 7).check()
        assert proc.stop() == 0
        world.hang_up()
        closed = 'exec "$0" -n -p "$1" --control @closed <&- >&- 2>&-'
        shell = Proc(["sh", "-c", closed, program(), SERVER], ns=world.net.firewall)
        wait_listening(world.net.firewall)
        session = world.session()
        session.call(5, 7).check()
        session.close()
        assert shell.stop() == 0


# ---- the log ----


def test_time_stamps():
    "time stamps in a file and on a terminal, none on a pipe"
    with World(proxy=False) as world, Directory() as directory:
        log = directory / "log"
        world.words = ["-l", str(log)]
        proxy = world.start(log_file=log)
        assert proxy.proc.text() == "", "-l, but standard output got something"
        assert log.stat().st_mode & 0o777 == 0o640
        proxy.stop()
        lines = log.read_text().splitlines()
        assert len(lines) > 3 and all(re.match(STAMP, line) for line in lines), lines
        with Proxy(world.net.firewall, ["-p", SERVER]) as piped:
            pass
        assert not any(re.match(STAMP, line) for line in piped.log.all())
        master, slave = pty.openpty()
        terminal = Lines("terminal")
        proc = Proc([program(), "-n", "-p", SERVER], ns=world.net.firewall, stdout=slave)
        os.close(slave)
        terminal.read_from(master)
        terminal.wait(READY, 15)
        assert proc.stop() == 0
        assert all(re.match(STAMP, line) for line in terminal.all()), terminal.all()


def test_log_file_is_appended_to():
    "what a log file held before is kept"
    with World(proxy=False) as world, Directory() as directory:
        log = directory / "log"
        log.write_text("from before\n")
        world.words = ["-l", str(log)]
        world.start(log_file=log).stop()
        assert log.read_text().startswith("from before\n" + time.strftime("%Y-"))


def test_extensive_log_dumps_every_packet():
    "-e dumps each message and each GRE packet, in and out, hexadecimal and text; -d does not; -n says little"
    with World(["-e"], debug=False) as world:
        session = world.session()
        call = session.call(0x0A0B, 0x0C0D)
        session.client.send(build(ECHO_RQ, tail=b"text in the message"))
        session.server.expect(ECHO_RQ)
        call.check(b"1234in the payload!!")  # the dump has 16 octets a line, 12 are the header's
        world.log.wait(r"control from client")
        world.log.wait(r"control to server")
        world.log.wait(r"1a 2b 3c 4d|1a2b ?3c4d")
        world.log.wait(r"GRE in, 10\.1\.0\.10 -> 10\.1\.0\.1")
        world.log.wait(r"GRE out, 10\.2\.0\.1 -> 10\.2\.0\.10")
        world.log.wait(r"GRE in, 10\.2\.0\.10 -> 10\.2\.0\.1")
        world.log.wait(r"GRE out, 10\.1\.0\.1 -> 10\.1\.0\.10")
        world.log.wait(r" text in the mess$")
        world.log.wait(r" in the payload!!$", count=4)
    for debug in (True, False):
        with World(debug=debug) as world:
            world.session().call(5, 7).check(b"packet's payload")
            world.client.streams[0].close()
            world.log.wait(CLOSED)
            assert not world.log.matching("GRE in,|payload")
            assert bool(world.log.matching("Outgoing-Call-Request from client")) == debug


def test_log_that_nobody_reads_holds_no_call():
    "a log pipe that nobody reads: messages and packets go on, lost lines are counted and told, memory stays bounded"
    with World(proxy=False) as world:
        read_end, write_end = os.pipe()
        fcntl.fcntl(read_end, 1031, 4096)  # F_SETPIPE_SZ
        proc = Proc([program(), "-e", "-p", SERVER], ns=world.net.firewall, stdout=write_end)
        os.close(write_end)
        wait_listening(world.net.firewall)
        session = world.session()
        call = session.call(5, 7)
        growth = watch.Growth(watch.worker(proc.pid))
        for i in range(20):
            session.client.send(build(ECHO_RQ, identifier=i, tail=bytes(1000)) * 50)
            for _ in range(50):
                session.server.expect(ECHO_RQ, identifier=i)
            call.check(b"still %d" % i)
        growth.check(8 << 20)
        lines = Lines("log")
        lines.read_from(read_end)
        lines.wait(r"\d+ log lines? (was|were) lost")
        session.close()
        lines.wait(CLOSED)
        assert proc.stop() == 0


class TinyDisk:
    """A mount namespace with a file system of a few pages."""

    def __init__(self, directory):
        self.directory = directory

    def enter(self):
        private_mounts(tmpfs={self.directory.path: "size=32k"})


def test_full_disk_holds_no_call():
    "a full disk under the log file: calls go on, and once there is room again so does the log"
    with World(proxy=False) as world, Directory() as directory:
        world.words = ["-e", "-l", str(directory / "log")]
        world.start(ready=False, room=TinyDisk(directory), debug=False)
        wait_listening(world.net.firewall)
        inside = Path(f"/proc/{world.proxy.pid}/root{directory / 'log'}")
        session = world.session()
        call = session.call(5, 7)
        for i in range(20):
            session.client.send(build(ECHO_RQ, identifier=i, tail=bytes(1000)) * 20)
            for _ in range(20):
                session.server.expect(ECHO_RQ, identifier=i)
            call.check(b"still %d" % i)
        assert inside.stat().st_size <= 32768
        os.truncate(inside, 0)
        wait_until(lambda: session.check() or "lost" in inside.read_text(errors="replace"), what="a line about lost ones")


if __name__ == "__main__":
    tap.main()
