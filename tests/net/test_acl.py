#!/usr/bin/python3
"""Who may connect: rules (-a), external commands (-x), and both."""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, watch
from lab.fake import PATIENCE, World
from lab.messages import ECHO_RQ, SCCRP, SCCRQ, build
from lab.place import Directory
from lab.proc import wait_until
from lab.proxy import CLOSED, REFUSED


class Scripts(Directory):
    """A directory of commands."""

    def __init__(self):
        super().__init__(0o777)  # commands run as another user

    def script(self, name, text):
        """A shell script; $D is this directory."""
        path = self.path / name
        path.write_text(f"#!/bin/sh\nD={self.path}\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def gate(self):
        return Gate(self.path / "gate")

    def lines(self, name):
        path = self.path / name
        return path.read_text().splitlines() if path.exists() else []

    def touch(self, name):
        (self.path / name).write_text("")


def _allowed(world, client=0, **options):
    world.session(client, **options).close()


def _refused(world, client=0, reason=REFUSED, timeout=PATIENCE, **options):
    stream = world.dial(client, **options)
    stream.send(build(SCCRQ))
    stream.expect_end(timeout)
    world.wait_line(stream, reason)
    assert not world.server.dialled(), "the server was dialled for a refused client"
    return stream


class Gate:
    """A FIFO from which waiting commands read a line each: open(N) lets N of them go on."""

    def __init__(self, path):
        os.mkfifo(path)
        path.chmod(0o666)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def open(self, count):
        os.write(self._fd, b"\n" * count)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self._fd)


# ---- rules ----


def test_rules():
    "an address is allowed where (address & mask) == (subnet & mask), for masks of any bits, prefixes and single addresses"
    cases = [  # the client is 10.1.0.10
        ("10.1.0.10", True), ("10.1.0.11", False), ("10.1.0.10/32", True), ("10.1.0.0/24", True), ("10.1.0.99/24", True),
        ("10.2.0.0/24", False), ("10.0.0.0/8", True), ("0.0.0.0/0", True), ("255.255.255.255/0.0.0.0", True),
        ("10.1.0.0/255.255.0.0", True), ("10.9.0.10/255.0.0.255", True), ("10.9.0.11/255.0.0.255", False),
        ("0.0.0.10/0.0.0.255", True), ("0.0.0.2/0.0.0.3", True), ("0.0.0.1/0.0.0.3", False), ("10.1.0.8/29", True),
        ("10.1.0.16/29", False), ("11.1.0.10/31", False),
    ]
    with World(proxy=False) as world:
        for i, (rule, good) in enumerate(cases):
            world.words = ["-a", rule]
            proxy = world.start()
            try:
                (_allowed if good else _refused)(world)
            except AssertionError as error:
                raise AssertionError(f"{rule}: {error}") from error
            proxy.stop()


def test_several_rules():
    "one of several rules is enough, for each client; a refused one is told with its address, and only it is refused"
    with World(["-a", "192.0.2.0/24", "-a", "10.1.0.11"], clients=3) as world:
        _allowed(world, client=1)
        for client in (0, 2):
            stream = _refused(world, client)
            assert len(world.lines(stream, REFUSED)) == 1
        _allowed(world, client=1)


def test_refused_clients_cost_others_nothing():
    "two hundred refused connections leave a call of an allowed client untouched"
    with World(["-a", "10.1.0.11"], clients=2) as world:
        session = world.session(client=1)
        call = session.call(5, 7)
        streams = [world.dial(client=0) for _ in range(200)]
        for stream in streams:
            stream.expect_end()
        session.check()
        call.check()
        world.log.wait(REFUSED, count=200)


# ---- commands ----


def test_command_decides_by_its_exit_status():
    "a command allows by exit status 0; any other status or a signal refuses, and the log says which"
    with World(proxy=False) as world, Scripts() as scripts:
        for text, good, reason in (("exit 0", True, ""), ("exit 1", False, "exit status 1"), ("exit 77", False, "77"),
                                   ("kill -9 $$", False, "signal 9"), ("kill -TERM $$", False, "signal 15")):
            world.words = ["-x", scripts.script("check", text)]
            proxy = world.start()
            if good:
                _allowed(world)
            else:
                _refused(world, reason=f"{REFUSED}.*{reason}")
            proxy.stop()


def test_commands_are_asked_in_order():
    "commands are asked in order until one says yes; none: refused, with every reason"
    with World(proxy=False) as world, Scripts() as scripts:
        one = scripts.script("one", "echo one >> $D/asked; exit 1")
        two = scripts.script("two", "echo two >> $D/asked; exit 0")
        three = scripts.script("three", "echo three >> $D/asked; exit 3")
        world.words = ["-x", one, "--aclCmd", two, "--acl-cmd", three]
        proxy = world.start()
        _allowed(world)
        assert scripts.lines("asked") == ["one", "two"]
        proxy.stop()
        world.words = ["-x", one, "-x", three]
        proxy = world.start()
        stream = _refused(world)
        assert scripts.lines("asked") == ["one", "two", "one", "three"]
        line = world.lines(stream, REFUSED)[0]
        assert "status 1" in line and "status 3" in line, line


def test_command_gets_words_and_address():
    "its words are split and unquoted like a shell's, no shell runs, and the client's address is the last one"
    with World(proxy=False) as world, Scripts() as scripts:
        command = scripts.script("check", 'for word; do echo "<$word>" >> $D/words; done')
        world.words = ["-x", command + r""" plain 'single $HOME "q"' "double \"d\" `no`" a\ b "" $PATH ; >file *"""]
        world.start()
        _allowed(world)
        assert scripts.lines("words") == ["<plain>", '<single $HOME "q">', '<double "d" `no`>', "<a b>", "<>", "<$PATH>",
                                          "<;>", "<>file>", "<*>", "<10.1.0.10>"]


def test_command_environment():
    "a command gets PATH and what it is about, no descriptor of ours, /dev/null as input, and default signals"
    with World(proxy=False) as world, Scripts() as scripts:
        command = scripts.script("check", """
/usr/bin/env > $D/env
ls -l /proc/self/fd > $D/fds
grep -E '^Sig(Blk|Ign)' /proc/self/status > $D/signals
readlink /proc/self/fd/0 > $D/stdin
""")
        world.words = ["-x", command]
        world.start(env={"SECRET": "of ours", "LD_DEBUG_OUTPUT": "x"})
        client = world.dial()
        client.send(build(SCCRQ))
        world.server.accept().expect(SCCRQ)
        names = {line.partition("=")[0]: line.partition("=")[2] for line in scripts.lines("env")}
        assert set(names) - {"PWD", "SHLVL", "_", "OLDPWD"} == {  # a shell adds these
            "PATH", "PPTPPROXY_CLIENT", "PPTPPROXY_LISTEN", "PPTPPROXY_PEER"}, names
        assert names["PATH"] == os.environ["PATH"]
        assert names["PPTPPROXY_CLIENT"] == "10.1.0.10:%d" % client.local[1]
        assert names["PPTPPROXY_LISTEN"] == "10.1.0.1:1723"
        assert names["PPTPPROXY_PEER"] == "10.2.0.10:1723"
        assert scripts.lines("stdin") == ["/dev/null"]
        targets = [line.partition(" -> ")[2] for line in scripts.lines("fds") if " -> " in line]
        assert not [t for t in targets if "socket" in t or "event" in t], targets
        assert len([t for t in targets if t.startswith("pipe")]) <= 2, targets
        for line in scripts.lines("signals"):
            # 32 and 33 are the C library's own and cannot be set by a program.
            assert int(line.split()[1], 16) & ~0x180000000 == 0, line


def test_command_output():
    "what a command says goes to the log at debug level, escaped, and only there"
    with World(proxy=False) as world, Scripts() as scripts:
        command = scripts.script("check", r"printf 'a word\n\033[31mred\nerror: forged #1 line\n'; echo trouble >&2")
        world.words = ["-x", command]
        proxy = world.start()
        session = world.session()
        head = r"^#1 10\.1\.0\.10:%d -> 10\.2\.0\.10:1723\b.*" % session.client.local[1]
        for text in ("a word", "trouble", r"\\x1b\[31mred"):
            world.log.wait(head + text)
        session.close()
        assert "\033" not in world.log.text()
        assert not world.log.matching(r"^error: forged")
        proxy.stop()
        world.start(debug=False)
        _allowed(world)
        assert not world.log.matching("a word|trouble|red")


def test_command_that_says_very_much():
    "a command that writes a megabyte is heard out and holds nobody"
    with World(proxy=False) as world, Scripts() as scripts:
        command = scripts.script("check", "head -c 1000000 /dev/zero | tr '\\0' x; exit 0")
        world.words = ["-x", command]
        world.start(debug=False)
        _allowed(world)


def test_hanging_command():
    "a command that hangs is killed by --acl-timeout with all its children, and means no; others go on meanwhile"
    with World(proxy=False, clients=2) as world, Scripts() as scripts:
        command = scripts.script("check", """
case $1 in *.11) exit 0;; esac
sleep 1000 & echo $! >> $D/pids
echo $$ >> $D/pids
trap '' TERM INT HUP
wait; sleep 1000; sleep 1000""")
        patience = round(2 * tap.slowdown())  # in which the command must get as far as its sleep
        world.words = ["-x", command, "--acl-timeout", str(patience)]
        proxy = world.start()
        session = world.session(client=1)
        call = session.call(5, 7)
        began = time.monotonic()
        waiting = world.dial(client=0)
        waiting.send(build(SCCRQ))
        wait_until(lambda: len(scripts.lines("pids")) == 2, what="the command to run")
        call.check()
        session.check()
        world.session(client=1).check()
        waiting.expect_end()
        assert time.monotonic() - began > patience - 0.1
        world.wait_line(waiting, f"{REFUSED}.*(no answer|{patience} s)")
        for pid in map(int, scripts.lines("pids")):
            wait_until(lambda: watch.gone(pid), what=f"{pid} to end")
        wait_until(lambda: not watch.commands(proxy.pid), what="the command to be reaped")


def test_slow_command_keeps_what_the_client_sent():
    "what a client sends while its command runs is kept: the server gets all of it afterwards"
    with World(proxy=False) as world, Scripts() as scripts:
        command = scripts.script("check", "while [ ! -e $D/go ]; do sleep 0.01; done")
        world.words = ["-x", command]
        world.start()
        client = world.dial()
        batch = [build(SCCRQ), *(build(ECHO_RQ, identifier=i) for i in range(20))]
        client.send(*batch)
        world.number(client)
        assert not world.server.dialled()
        scripts.touch("go")
        server = world.server.accept()
        for octets in batch:
            server.expect_octets(octets)


def test_client_that_leaves_while_its_command_runs():
    "a client that leaves while its command runs: the command is ended, the server not dialled, the log says so"
    with World(proxy=False) as world, Scripts() as scripts:
        command = scripts.script("check", "echo $$ > $D/pid; exec sleep 1000")
        world.words = ["-x", command, "--acl-timeout", "1000"]
        proxy = world.start()
        for leave in ("close", "reset"):
            client = world.dial()
            number = world.number(client)
            wait_until(lambda: scripts.lines("pid"), what="the command to run")
            pid = int(scripts.lines("pid")[0])
            getattr(client, leave)()
            world.log.wait(rf"#{number} .*(?:{CLOSED})")
            wait_until(lambda: watch.gone(pid), what="the command to end")
            (scripts.path / "pid").unlink()
        wait_until(lambda: not watch.commands(proxy.pid), what="it to be reaped")
        assert not world.server.dialled()


def test_parallel_commands_are_limited():
    "no more than --acl-parallel commands run at once, the others wait their turn, and all get their answer"
    with World(proxy=False) as world, Scripts() as scripts:
        command = scripts.script("check", "echo $$ >> $D/started; while [ ! -e $D/go ]; do sleep 0.01; done; exit 0")
        world.words = ["-x", command, "--acl-parallel", "3"]
        proxy = world.start()
        clients = [world.dial() for _ in range(12)]
        for client in clients:
            client.send(build(SCCRQ))
            world.number(client)
        wait_until(lambda: len(scripts.lines("started")) == 3, what="three commands to run")
        assert len(watch.commands(proxy.pid)) == 3
        for client in clients[::2]:
            client.close()  # those who leave make room, waiting ones too
        scripts.touch("go")
        for client in clients[1::2]:
            server = world.server.admit()
        for client in clients[1::2]:
            client.expect(SCCRP)
        wait_until(lambda: not watch.commands(proxy.pid), what="the commands to be reaped")
        assert len(scripts.lines("started")) <= 12


def test_command_that_vanishes_refuses():
    "a command that cannot be started any more refuses, and the log says why"
    with World(proxy=False) as world, Scripts() as scripts:
        path = scripts.script("check", "exit 0")
        world.words = ["-x", path]
        world.start()
        _allowed(world)
        os.unlink(path)
        _refused(world, reason=f"{REFUSED}.*No such file")


def test_no_zombies():
    "fifty commands leave no zombie"
    with World(["-x", "/bin/true"]) as world:
        for _ in range(50):
            _allowed(world)
        wait_until(lambda: not watch.commands(world.proxy.pid), what="all to be reaped")


def test_end_while_commands_hang():
    "SIGTERM while commands hang: they end too, exit 0 in time"
    with World(proxy=False) as world, Scripts() as scripts:
        command = scripts.script("check", "echo $$ >> $D/pids; trap '' TERM; sleep 1000; sleep 1000")
        world.words = ["-x", command, "--acl-timeout", "1000"]
        proxy = world.start()
        clients = [world.dial() for _ in range(3)]
        wait_until(lambda: len(scripts.lines("pids")) == 3, what="the commands to run")
        began = time.monotonic()
        proxy.stop()
        assert time.monotonic() - began < 3 + 2 * tap.slowdown()
        for pid in map(int, scripts.lines("pids")):
            wait_until(lambda: watch.gone(pid), what=f"{pid} to end")
        for client in clients:
            client.expect_end()


# ---- both ----


def test_rules_and_commands_together():
    "with -a and -x both must allow; with --acl-mode any one is enough, and a rule's yes asks no command"
    with World(proxy=False, clients=2) as world, Scripts() as scripts:
        yes = scripts.script("yes", "echo asked >> $D/asked")
        no = scripts.script("no", "echo asked >> $D/asked; exit 1")
        rule = ["-a", "10.1.0.10"]  # the first client
        cases = [
            ([*rule, "-x", yes], (True, False)), ([*rule, "-x", no], (False, False)),
            ([*rule, "-x", yes, "--acl-mode", "all"], (True, False)),
            ([*rule, "-x", yes, "--acl-mode", "any"], (True, True)),
            ([*rule, "-x", no, "--acl-mode", "any"], (True, False)),
            (["-x", yes, "--acl-mode", "any"], (True, True)), (["-x", no, "--acl-mode", "any"], (False, False)),
            ([*rule, "--acl-mode", "any"], (True, False)),
        ]
        for words, answers in cases:
            world.words = words
            proxy = world.start()
            for client, good in enumerate(answers):
                try:
                    (_allowed if good else _refused)(world, client)
                except AssertionError as error:
                    raise AssertionError(f"{words} client {client}: {error}") from error
            proxy.stop()


def test_rule_is_asked_before_the_command():
    "a client that no rule allows starts no command"
    with World(proxy=False, clients=2) as world, Scripts() as scripts:
        world.words = ["-a", "10.1.0.11", "-x", scripts.script("check", "echo asked >> $D/asked")]
        world.start()
        _refused(world, client=0)
        assert not scripts.lines("asked")
        _allowed(world, client=1)
        assert scripts.lines("asked") == ["asked"]


def test_many_clients_with_commands():
    "a hundred clients at once with a command each get through, sixteen at a time"
    with World(proxy=False) as world, Scripts() as scripts, scripts.gate() as gate:
        command = scripts.script("check", "echo $$ >> $D/started; read line <> $D/gate")
        world.words = ["-x", command, "--acl-timeout", "100"]
        proxy = world.start()
        clients = [world.dial() for _ in range(100)]
        for client in clients:
            client.send(build(SCCRQ))
            world.number(client)
        for begun in range(16, 20):  # for each one that ends, one begins
            wait_until(lambda: len(scripts.lines("started")) >= begun, what=f"{begun} commands to begin")
            running = watch.commands(proxy.pid)
            assert len(running) == 16, running
            assert len(scripts.lines("started")) == begun
            gate.open(1)
        gate.open(len(clients) - 4)
        for _ in clients:
            server = world.server.admit()
        for client in clients:
            client.expect(SCCRP)
        assert len(scripts.lines("started")) == len(clients)
        wait_until(lambda: not watch.commands(proxy.pid), what="the commands to be reaped")


if __name__ == "__main__":
    tap.main()
