#!/usr/bin/python3
"""tools/demo, tools/deps and tools/bench's help, run as a user runs them: what they say, how they end, and that
nothing stays behind."""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import netns, tap, watch
from lab.proc import Proc, wait_until
from lab.proxy import CALL_ENDED, CALL_OPENED, ROOT, program
from lab.real import Call, Pptpd, ppp_end
from lab.topo import DualHomed

DEMO = ROOT / "tools/demo"
UP = 60 * tap.slowdown()  # it may have to build first
REST = 60 * tap.slowdown()
UNEXPECTED = ("import sys; sys.path.insert(0, '.')\n"
              "from lab import demo, topo\n"
              "demo.DualHomed = lambda: topo.DualHomed(forward=True)\n"
              "demo.main(\"\")")


def names(directory):
    return set(os.listdir(directory)) if os.path.isdir(directory) else set()


class Traces:
    """What a run has outside: namespaces, directories, processes. look() while it runs, gone() later.

    The run's pid is in the names of its things: the process that was started, or a descendant.
    """

    def __init__(self, pid):
        self.top, self.namespaces, self.directories, self.pids = pid, set(), set(), {pid}

    def look(self):
        family, more = set(), {self.top}
        while more:
            family |= more
            more = {child for pid in more for child in watch.children(pid)} - family
        self.pids |= family
        self.prefixes = tuple(f"pptp{pid}-" for pid in family)
        self.namespaces, self.directories = self._own()
        for name in self.namespaces:
            self.pids |= {int(pid) for pid in netns.ip("netns", "pids", name).split()}

    def _own(self):
        return tuple({name for name in names(where) if name.startswith(self.prefixes)}
                     for where in (netns.NETNS_DIR, tempfile.gettempdir()))

    def assert_seen(self):
        assert len(self.namespaces) == 3, f"namespaces of the demo: {self.namespaces}"
        assert self.directories, "no directory of pptpd's"
        # Python, pptpd, its pptpctrl and PPP end, the proxy, pptp, its call manager and PPP end.
        assert len(self.pids) >= 8, self.pids

    def assert_gone(self):
        assert self._own() == (set(), set()), f"left behind: {self._own()}"
        listed = [line.split()[0] for line in netns.ip("netns", "list").splitlines()]
        assert not [name for name in listed if name.startswith(self.prefixes)], listed
        # Whoever was killed in a namespace may still be a zombie that nobody took yet.
        wait_until(lambda: all(map(watch.gone, self.pids)), what=f"the demo's processes to end: {self.pids}")


@contextmanager
def demo():
    """The demo and its traces, with PPP up. Interrupted if a test leaves it running."""
    netns.need("pptp", "pptpd", "iperf3", "ping")
    env = {"PPTPPROXY": str(program()), "PPP_END": str(ppp_end())}
    process = Proc([DEMO], env=env, name="demo")
    try:
        process.wait_line("PPP is up", UP)
        traces = Traces(process.pid)
        traces.look()
        yield process, traces
    finally:
        if process.running():
            interrupt(process)
            process.wait(30)


def interrupt(process):
    """As a terminal does: the group hears it."""
    os.killpg(process.pid, signal.SIGINT)


@tap.deadline(180)
def test_demo():
    "the demo: a call, pings, traffic both ways, its end, the proxy's log; nothing stays behind"
    with demo() as (process, traces):
        traces.assert_seen()
        code = process.wait(REST)
        assert code == 0, f"status {code}"
        for line in (r"no answer, as it should be", r"PPP is up after [\d.]+ s: 10\.\S+ at the client, 10\.\S+ at the server",
                     r"4 packets transmitted, 4 received", r"^    client to server: +[\d.]+ Mbit/s",
                     r"^    server to client: +[\d.]+ Mbit/s", r"the call has ended, the proxy was stopped", r"^    ready: ",
                     CALL_OPENED, CALL_ENDED, r"^    stopped$", r"^Done\. Everything has been taken down\.$"):
            assert len(process.lines(line)) == 1, f"{line!r} should be there once"
        assert len(process.lines(r"^    \d+ bytes from 10\.\S+ icmp_seq=")) == 4
        assert len(process.lines("Mbit/s")) == 2
        traces.assert_gone()


@tap.deadline(180)
def test_demo_interrupted():
    "the demo interrupted in the middle: a status that is not 0, one line, and nothing stays behind"
    with demo() as (process, traces):
        traces.assert_seen()
        interrupt(process)
        code = process.wait(30)
        assert code > 0, f"status {code}"
        assert len(process.lines(r"^Interrupted; everything has been taken down\.$")) == 1
        assert not process.lines("Traceback|^Done")
        traces.assert_gone()


@tap.deadline(300)
def test_demo_broken():
    "the demo of a cut direction: log, --show, page, --doctor-call and --explain each name it"
    netns.need("pptp", "pptpd", "ping", "nft")
    env = {"PPTPPROXY": str(program()), "PPP_END": str(ppp_end())}
    process = Proc([DEMO, "broken"], env=env, name="demo broken")
    process.wait_line("PPP is up", UP)
    traces = Traces(process.pid)
    traces.look()
    code = process.wait(200)
    assert code == 0, f"status {code}"
    text = process.text()
    log, show, page, doctor, explain = re.findall(r"^\d+\. .* says?\b.*\n((?:    .*\n)+)", text, re.M)[-5:]
    assert re.search(r"warning: #1 .*: no GRE from server 10\.2\.0\.10 for \d+ s, while the client sends: is IP protocol 47 blocked", log), log
    assert re.search(r"^    1:\d+ .*server silent \d+ s$", show, re.M), show
    assert re.search(r"^    Server: +10\.2\.0\.10:1723$", page, re.M), page
    assert re.findall(r"^    (.*): +silent, \d+ s$", page, re.M) == ["Last from the server"] and page.count("silent") == 1, page
    assert re.search(r"error +10\.2\.0\.10:1723: no GRE comes from it within \d+ s: protocol 47 is dropped on the way back", doctor), doctor
    explain = re.sub(r"\s+", " ", explain)
    assert re.search(r"server is silent from [\d.]+ s to [\d.]+ s \([\d.]+ s\), while client sends \d+ packets, and does not come back", explain), explain
    assert "protocol 47 is blocked between 10.2.0.10 and 10.2.0.1, on the server's side" in explain, explain
    assert re.findall(r" (\d+)\. ", explain) == ["1"], f"findings of explain: {explain}"
    traces.assert_gone()


def fetch(path):
    return urllib.request.urlopen(f"http://127.0.0.1:8723{path}", timeout=10).read().decode()


@tap.deadline(180)
def test_demo_stays():
    "the demo that stays: its call is on the page at this machine's own address; Ctrl-C takes all of it down"
    env = {"PPTPPROXY": str(program()), "PPP_END": str(ppp_end())}
    process = Proc([DEMO, "stay"], env=env, name="demo stay")
    try:
        process.wait_line("http://127.0.0.1:8723/", UP)
        traces = Traces(process.pid)
        traces.look()
        wait_until(lambda: re.search(r'"client":\{"addr":"10\.1\.0\.10".*"packets":[1-9]', fetch("/calls.json")), what="the call's packets")
        assert "10.1.0.10" in fetch("/")
    finally:
        interrupt(process)
        assert process.wait(30) == 130
    traces.assert_gone()


def test_readme_commands():
    "README's way to a call on the page: the doctor finds nothing wrong, the proxy runs, the call is on the page"
    text = (ROOT / "README.md").read_text()
    part = text[text.index("## Your own call"):text.index("## What it does")]
    doctor, run, dial, look = re.findall(r"^(?:sudo|ssh) .*$", part, re.M)
    assert dial == "sudo pppd call work" and look.endswith(" -L 8723:127.0.0.1:8723 firewall")  # as docs/home.md; and sshd
    here = lambda line: shlex.split(line.replace("vpn.example.com", "10.2.0.10").replace("192.0.2.0", "10.1.0.0"))[1:]
    with DualHomed() as net, Pptpd(net.server, listen=net.server.ip):
        asked = Proc(here(doctor), ns=net.firewall, cwd=ROOT, name="doctor")
        assert asked.wait(UP) == 0, asked.text()
        process = Proc(here(run), ns=net.firewall, cwd=ROOT, name="proxy by README")
        process.wait_line("ready: ", UP)
        with Call(net.client, net.inside) as call:
            call.wait_up()
            with net.firewall:
                assert '"addr":"10.1.0.10"' in fetch("/calls.json") and "10.1.0.10" in fetch("/")
            call.hang_up()
        assert process.stop() == 0


def test_demo_with_a_way_around_the_proxy():
    "the demo where the firewall forwards after all: it fails and says what is wrong"
    process = Proc(["/usr/bin/python3", "-B", "-c", UNEXPECTED], cwd=ROOT / "tests", name="demo")
    code = process.wait(UP)
    assert code == 1, f"status {code}"
    process.wait_line("That went wrong")
    process.wait_line(r"^    the ping .* got through without the proxy")
    assert not process.lines("Traceback|PPP is up")


def test_proxy_by_the_demo():
    "tools/demo with options: the proxy with these, in the foreground; SIGTERM gives 0"
    with DualHomed() as net:
        process = Proc([DEMO, "-p", "10.2.0.10", "-a", "10.0.0.0/8"], ns=net.firewall, name="demo with options")
        process.wait_line(rf"ready: .*pid {process.pid}\b", UP)
        assert process.stop() == 0


def test_questions_by_the_demo():
    "tools/demo with a question: the program's answer; and what it cannot do it names"
    with DualHomed() as net:
        ask = lambda *words: subprocess.run([DEMO, *words], capture_output=True, text=True, timeout=UP)
        process = Proc([DEMO, "-p", "10.2.0.10", "-a", "10.0.0.0/8"], ns=net.firewall, name="demo with options")
        process.wait_line("ready: ", UP)
        with net.firewall:
            shown = ask("--show", "pairs")
            assert (shown.returncode, shown.stderr) == (0, "") and "10.2.0.10" in shown.stdout, shown
            for words, said in ((("--end", "1:2"), "1:2"), (("--tap", "all"), "needs --capture"),
                                (("--explain", "/nonexistent"), "/nonexistent")):
                done = ask(*words)
                assert done.returncode != 0 and said in done.stderr and "does not go with" not in done.stderr, done
        assert process.stop() == 0
    for words, said in ((("broken", "now"), "nothing follows 'broken'"), (("now",), "'now' is none of: stay, broken")):
        done = ask(*words)
        assert done.returncode == 1 and done.stderr.startswith(f"tools/demo: {said}"), done


@contextmanager
def without(*names):
    """A way to run something where these programs only say that they were asked for, and fail."""
    with tempfile.TemporaryDirectory(prefix=netns.RUN_PREFIX) as directory:
        for name in names:
            stub = Path(directory) / name
            stub.write_text(f'#!/bin/sh\necho "{name} $*"\nexit 1\n')
            stub.chmod(0o755)
        env = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}
        yield lambda argv: subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)


def test_deps():
    "tools/deps says nothing and changes nothing where all is installed, as for these tests it is"
    with without("apt-get") as run:
        for words in (["build", "calls", "tests"], ["build", "calls"]):
            done = run([ROOT / "tools/deps", *words])
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done


def test_bench_help():
    "tools/bench --help tells how it is used, and neither installs nor builds nor measures"
    with without("apt-get", "dpkg-query", "make") as run:
        for words in (["--help"], ["-h"], ["--quick", "--help"]):
            done = run([ROOT / "tools/bench", *words])
            assert (done.returncode, done.stderr) == (0, ""), done
            assert "\n  sudo ./tools/bench --quick " in done.stdout and "#" not in done.stdout, done.stdout
            assert len(done.stdout.splitlines()) < 20, done.stdout


if __name__ == "__main__":
    tap.main()
