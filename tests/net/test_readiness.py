#!/usr/bin/python3
"""What a supervisor is told: by a socket as systemd has it, and by a descriptor as s6 has it."""

import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, watch
from lab.netns import RUN_PREFIX
from lab.proc import Proc, wait_until
from lab.proxy import READY, Proxy, program
from lab.supervisor import Supervisor
from lab.topo import DualHomed

SERVER = "10.2.0.10"
SHELL = ["sh", "-c", 'fifo=$1; shift; exec "$@" 7>"$fifo"', "sh"]  # gives the descriptor 7


def variables(pid):
    text = Path(f"/proc/{pid}/environ").read_bytes().decode()
    return {line.split("=", 1)[0] for line in text.split("\0") if line}


class Fifo:
    """What was written to .path, once read_all() has come to its end: nobody has it open any more."""

    def __init__(self):
        self._directory = tempfile.TemporaryDirectory(prefix=RUN_PREFIX)
        self.path = f"{self._directory.name}/ready"
        os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.text = b""

    def at_end(self):
        """An end, which comes before there is a writer, too, so only something that was written counts."""
        try:
            data = os.read(self._fd, 100)
        except BlockingIOError:
            return False
        self.text += data
        return not data and self.text

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self._fd)
        self._directory.cleanup()


def test_told():
    "a supervisor's socket, a path or an abstract name, hears of readiness with pid and pairs, and of the end"
    for abstract in (False, True):
        with DualHomed() as net, Supervisor(abstract, net.firewall) as supervisor:
            with Proxy(net.firewall, ["-p", SERVER, "-p", f"10.1.0.1:1724,{SERVER}"], env=supervisor.env) as proxy:
                said = supervisor.wait("READY=1")
                assert said["MAINPID"] == str(proxy.pid) and said["STATUS"] == "2 pairs", said
                assert proxy.log.matching(READY)
                assert "STOPPING" not in supervisor.messages[-1]
            supervisor.wait("STOPPING=1")
            assert len(supervisor.messages) == 2, supervisor.messages


def test_not_told_before():
    "nothing is told by a program that cannot start"
    with DualHomed() as net, Supervisor() as supervisor:
        process = Proc([program(), "-n", "-p", f"192.0.2.1,{SERVER}"], ns=net.firewall, env=supervisor.env)
        assert process.wait() == 1
        assert supervisor.messages == []


def test_from_the_background():
    "a program in the background tells the pid that counts"
    with DualHomed() as net, Supervisor() as supervisor, tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as directory:
        pid_file = Path(directory, "pid")
        start = Proc([program(), "-p", SERVER, "-l", f"{directory}/log", "--pid-file", pid_file], ns=net.firewall,
                     env=supervisor.env)
        assert start.wait(30) == 0, start.text()
        pid = int(pid_file.read_text())
        assert supervisor.wait("READY=1")["MAINPID"] == str(pid)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: watch.gone(pid), what="the daemon to end")


def test_reload():
    "SIGHUP: a reload's begin and end are told, with and without a configuration file, good or bad"
    with DualHomed() as net, Supervisor() as supervisor, tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as directory:
        conf = Path(directory, "conf")
        conf.write_text(f"proxy {SERVER}\n")
        for words in (["-p", SERVER], ["-c", conf]):
            mark = supervisor.mark()
            with Proxy(net.firewall, words, env=supervisor.env) as proxy:
                supervisor.wait("READY=1", mark)
                for text, status in ((f"proxy {SERVER}\nproxy 10.1.0.1:1724,{SERVER}\n", "2 pairs"),
                                     ("nonsense\n", "2 pairs; the last SIGHUP changed nothing: "),
                                     (f"proxy {SERVER}\n", "1 pair")):
                    conf.write_text(text)
                    mark = supervisor.mark()
                    began = time.monotonic()
                    proxy.proc.signal(signal.SIGHUP)
                    said = supervisor.wait("READY=1", mark)
                    first, *rest = supervisor.messages[mark:]
                    assert first["RELOADING"] == "1" and rest == [said], supervisor.messages[mark:]
                    assert began - 0.001 <= int(first["MONOTONIC_USEC"]) / 1e6 <= time.monotonic(), first
                    assert said["STATUS"].startswith(status if "-c" in words else "1 pair"), said


def test_upgrade_and_death():
    "over an upgrade and a worker's death the supervisor's socket is known to the keeper, and to nobody else"
    with DualHomed() as net, Supervisor() as supervisor:
        with Proxy(net.firewall, ["-p", SERVER], env=supervisor.env) as proxy:
            for _ in range(2):
                worker = proxy.worker
                assert "PPTPPROXY_LETTER" in variables(worker), variables(worker)
                assert "NOTIFY_SOCKET" not in variables(worker), variables(worker)
                mark, line = supervisor.mark(), proxy.log.mark()
                os.kill(worker, signal.SIGKILL)
                proxy.log.wait("goes on:", after=line)
                assert supervisor.wait("READY=1", mark)["MAINPID"] == str(proxy.pid)
                mark = supervisor.mark()
                proxy.proc.signal(signal.SIGUSR2)
                proxy.log.wait("upgraded:", after=line)
                assert supervisor.wait("READY=1", mark)["STATUS"] == "1 pair"
            mark = supervisor.mark()
        supervisor.wait("STOPPING=1", mark)


def test_commands():
    "an access command gets neither the supervisor's socket nor its descriptor"
    with DualHomed() as net, Supervisor() as supervisor, Fifo() as fifo:
        command = "sh -c 'tr \\\\0 \\\\n </proc/self/environ; ls /proc/$$/fd; exec sleep 60'"
        process = Proc([*SHELL, fifo.path, program(), "-d", "-p", SERVER, "--ready-fd", "7", "-x", command], ns=net.firewall,
                       env=supervisor.env)
        with process:
            supervisor.wait("READY=1")
            # What it says once it has ended may not be heard.
            with net.client, socket.create_connection((net.inside, 1723), 10):
                process.log.wait("sh: 2$")
            said = [line.split(": ")[-1] for line in process.lines("sh: ")]
            assert any(line.startswith("PPTPPROXY_CLIENT=") for line in said), process.text()
            assert not any("NOTIFY_SOCKET" in line for line in said), said
            assert {"0", "1", "2"} <= set(said) and not {str(fd) for fd in range(3, 10)} & set(said), said


def test_descriptor():
    "--ready-fd gets one newline when calls are accepted, and is closed everywhere; an upgrade does not touch its number"
    with DualHomed() as net, Fifo() as fifo:
        process = Proc([*SHELL, fifo.path, program(), "-n", "-p", SERVER, "--ready-fd", "7"], ns=net.firewall)
        with process:
            wait_until(fifo.at_end, 15, "the end")
            assert fifo.text == b"\n"
            process.log.wait(READY)
            process.signal(signal.SIGUSR2)
            process.log.wait("upgraded:")
            process.signal(signal.SIGHUP)
            process.log.wait("SIGHUP:")
            os.kill(wait_until(lambda: watch.worker(process.pid), what="a worker"), signal.SIGKILL)
            process.log.wait("goes on:")
            assert fifo.at_end() and fifo.text == b"\n"


def test_descriptor_from_the_background():
    "so does a program that goes into the background, and the command that started it still ends with 0"
    with DualHomed() as net, Fifo() as fifo, tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as directory:
        pid_file = Path(directory, "pid")
        start = Proc([*SHELL, fifo.path, program(), "-p", SERVER, "-l", f"{directory}/log", "--pid-file", pid_file,
                      "--ready-fd=7"], ns=net.firewall)
        assert start.wait(30) == 0, start.text()
        wait_until(fifo.at_end, 15, "the end")
        assert fifo.text == b"\n"
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: watch.gone(pid), what="the daemon to end")


def test_bad_descriptors():
    "--ready-fd with what is no open descriptor is an error at the start"
    with DualHomed() as net, Fifo() as fifo:
        for value, why in (("2", "must be 3 to 1023"), ("1024", "must be 3 to 1023"), ("x", "must be 3 to 1023"),
                           ("8", "Bad file descriptor")):
            for words in (["-n"], []):
                process = Proc([*SHELL, fifo.path, program(), *words, "-p", SERVER, "--ready-fd", value], ns=net.firewall)
                assert process.wait() == 1
                assert f"--ready-fd {value}: {why}" in process.text(), process.text()
        assert not fifo.at_end() and fifo.text == b""


if __name__ == "__main__":
    tap.main()
