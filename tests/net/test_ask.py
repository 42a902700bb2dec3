#!/usr/bin/python3
"""What a running instance is asked for at its control socket: --show, --watch, --end; and who may ask."""

import json
import os
import re
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, tcp, turmoil, watch
from lab.fake import World
from lab.messages import CCRQ, CDN, ECHO_RQ, ICRP, ICRQ, OCRP, OCRQ, SLI, build
from lab.place import Directory
from lab.proc import Proc, wait_until
from lab.proxy import CALL_ENDED, CALL_OPENED, CLOSED, DROPPED, Proxy, program
from lab.real import Call as RealCall, Pptpd
from lab.terminal import Terminal
from lab.topo import DualHomed

CONTROL = "\0pptpproxy"
PATIENCE = 10.0 * tap.slowdown()
STRANGER = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
ENDED_BY_US = "ended by the operator"


def ask(world, *words, before=(), **options):
    """What it says, its standard error included, and its exit status."""
    process = Proc([*before, program(), *words], ns=world.net.firewall, **options)
    status = process.wait(30)
    return process.text(), status


def show(world, what, *words):
    """The table's rows, each a list of its fields; the first one are the titles."""
    text, status = ask(world, "--show", what, *words)
    assert status == 0, text
    return [re.split(r"  +", line) for line in text.splitlines()]


def rows(world, what):
    """The rows as dictionaries by their titles, of those that are there once; the first column is left-aligned."""
    text, status = ask(world, "--show", what)
    assert status == 0, text
    lines = text.splitlines()
    found = []
    titles = re.split(r"  +", lines[0])
    for line in lines[1:]:
        fields = re.split(r"  +", line)
        found.append(dict(zip(titles, fields)))
    return found


def lines_of(world, what):
    """The same as fields of the protocol itself: plain numbers, all columns."""
    head, *rest = raw(world, f"show {what}\n").split("\n", 1)[1].splitlines()
    return [dict(zip(head.split("\t"), line.split("\t"))) for line in rest]


def caller(world):
    with world.net.firewall:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    sock.settimeout(PATIENCE)
    sock.connect(CONTROL)
    return sock


def read_all(sock):
    got = b""
    while True:
        try:
            more = sock.recv(65536)
        except ConnectionResetError:
            more = b""
        if not more:
            return got.decode()
        got += more


def raw(world, request):
    with caller(world) as sock:
        sock.sendall(request.encode())
        return read_all(sock)


# ---- tables ----


def test_calls():
    "--show calls tells each call's ends, IDs, age, packets and octets as they were; --json the same"
    with World(clients=2) as world:
        assert show(world, "calls") == [["no calls"]]
        first, second = world.session(), world.session(client=1)
        calls = [first.call(5, 7), first.call(6, 7000), second.call(5, 7)]
        for _ in range(3):
            calls[0].check(b"12345")
        calls[1].up(b"x" * 2000)
        calls[1].expect_up(b"x" * 2000)
        second.client.send(build(OCRQ, call_id=99))
        waiting = second.server.expect(OCRQ).call_id
        found = rows(world, "calls")
        numbers = [world.number(session.client) for session in (first, second)]
        names = [f"{numbers[0]}:5", f"{numbers[0]}:6", f"{numbers[1]}:5", f"{numbers[1]}:99"]
        assert [row["CALL"] for row in found] == names
        for row, session in zip(found, (first, first, second, second)):
            assert row["CLIENT"] == session.client.local[0] and row["PORT"] == str(session.client.local[1])
            assert row["SERVER"] == session.server.local[0]
        # Clients' and servers' IDs, and what the other end sees where that is another one.
        def as_shown(own, seen):
            return str(own) if own == seen else f"{own}>{seen}"

        for row, call in zip(found, calls):
            assert row["CLIENT ID"] == as_shown(call.client_id, call.server_sees), (row, vars(call))
            assert row["SERVER ID"] == as_shown(call.server_id, call.client_sees), (row, vars(call))
        assert found[3]["CLIENT ID"] == as_shown(99, waiting) and found[3]["SERVER ID"] == "-"
        assert found[3]["NOTE"] == "being set up"
        assert found[1]["CLIENT SENT"] == "1.98 KiB"
        plain = lines_of(world, "calls")
        octets = 20 + 12 + 5  # IP, GRE with a sequence number, what was in it
        assert [(row["client_packets"], row["client_octets"]) for row in plain[:2]] == [
            ("3", str(3 * octets)), ("1", str(20 + 12 + 2000))]
        assert [(row["server_packets"], row["server_octets"]) for row in plain[:2]] == [("3", str(3 * octets)), ("0", "0")]
        assert [row["state"] for row in plain] == ["open"] * 3 + ["reserved"]
        text, status = ask(world, "--show", "calls", "--json")
        [one, two, three, four] = json.loads(text)
        assert status == 0 and [call["call"] for call in (one, two, three, four)] == names
        assert one["client"]["packets"] == 3 and one["client"]["octets"] == 3 * octets
        assert two["server"]["packets"] == 0 and two["server"]["id"] == 7000


def test_pairs_and_totals():
    "--show pairs tells which server answers and why one does not; --show totals counts what the test did"
    pairs = ["0.0.0.0:1723,10.2.0.10", "0.0.0.0:1800,10.2.0.10:999"]
    with World(pairs=pairs) as world:
        assert [row["STATE"] for row in rows(world, "pairs")] == ["untried", "untried"]
        session = world.session()
        call = session.call(5, 7)
        call.check()
        failed = world.dial(port=1800)
        failed.send(build(1))
        failed.expect_end()
        up, down = rows(world, "pairs")
        assert up["LISTENS ON"] == "0.0.0.0:1723" and up["STATE"] == "up" and up["CALLS"] == "1"
        assert down["STATE"] == "down" and down["FAILED"] == "1" and "refused" in down["LAST ERROR"], down
        [one, two] = json.loads(ask(world, "--show", "pairs", "--json")[0])
        assert one["state"] == "up" and two["state"] == "down"
        figures = dict((row[0], row[1]) for row in show(world, "totals"))
        assert figures["keeper"] == str(world.proxy.pid) and figures["worker"] == str(world.proxy.worker)
        assert (figures["calls"], figures["connections"], figures["clients accepted"]) == ("1", "1", "2")
        assert figures["packets sent"] == "2" and figures["connections ended: no server"] == "1"
        totals = json.loads(ask(world, "--show", "totals", "--json")[0])
        assert totals["calls"] == 1 and totals["keeper_pid"] == world.proxy.pid


@tap.deadline(120)
def test_silent_direction():
    "a call whose server sends nothing while the client does is marked in --show calls"
    with World() as world:
        session = world.session()
        call = session.call(5, 7)

        def marked():
            call.up(b"is anybody there?")
            return re.search(r"server (not heard yet|silent \d+ s)", ask(world, "--show", "calls")[0])

        wait_until(marked, 60 * tap.slowdown(), "the mark")
        assert "client silent" not in ask(world, "--show", "calls")[0]
        call.down(b"yes")
        wait_until(lambda: not marked(), 60 * tap.slowdown(), "the mark to go")


def test_table_fits_the_terminal():
    "on a terminal the table has its width, by its size, COLUMNS, or 80; what does not fit is left out, elsewhere nothing"
    with World() as world:
        session = world.session()
        call = session.call(5, 7)
        call.check()
        wide = ask(world, "--show", "calls")[0].splitlines()
        assert len(wide[0]) > 100
        for columns, env, width in ((60, None, 60), (20, None, 20), (200, {"COLUMNS": "40"}, 200), (0, {"COLUMNS": "40"}, 40),
                                    (0, {"COLUMNS": ""}, 80)):
            with Terminal([program(), "--show", "calls"], world.net.firewall, columns, 24, env) as terminal:
                assert terminal.wait_end() == 0
                lines = terminal.text.splitlines()
                assert max(map(len, lines)) <= width and lines[0].startswith("CALL"), lines
                titles = re.split(r"  +", lines[0])
                assert titles == [title for title in re.split(r"  +", wide[0]) if title in titles], titles
                # No less than could be there.
                assert width < 60 or "SERVER SENT" in titles or width < 80, titles


def test_output_that_cannot_be_written():
    "where standard output is full one line says so, and the status is 1; an --end has ended the call all the same"
    with World() as world:
        session = world.session()
        session.call(5, 7)
        number = world.number(session.client)
        full = ["sh", "-c", 'exec "$@" >/dev/full', "sh"]
        for words in (["--show", "calls"], ["--show", "calls", "--json"], ["--show", "calls", "--watch"], ["--end", f"{number}:5"]):
            assert ask(world, *words, before=full) == ("pptpproxy: standard output: No space left on device\n", 1), words
        session.client.expect(CDN)
        world.wait_line(session.client, ENDED_BY_US)
        # Answered without an instance; the doctor flushes each line, so that its last flush has nothing to do.
        for words in (["--help"], ["-v"], ["--check", "-p", "0.0.0.0:1726,10.2.0.10"], ["--doctor"]):
            assert ask(world, *words, before=full) == ("pptpproxy: standard output: No space left on device\n", 1), words


# ---- watching ----


def test_watch():
    "--watch shows what changes, with rates, follows the window's size, ends by q or ^C and puts the terminal back"
    with World() as world:
        session = world.session()
        call = session.call(5, 7)
        for keys in ("q", "\x03"):
            with Terminal([program(), "--show", "calls", "--watch"], world.net.firewall, 120, 10) as terminal:
                terminal.wait(lambda screen: "1:5 " in screen)
                assert "?1049" in terminal.modes and "?25" not in terminal.modes
                more = session.call(6, 8)
                terminal.wait(lambda screen: "1:6 " in screen)

                def busy(screen):
                    call.up(b"x" * 1000)
                    return re.search(r"^1:5 .* [1-9][\d.]* k?bit/s", screen, re.M)

                terminal.wait(busy)
                assert re.match(r"up [\d.]+ s; 1 connection, 2 calls; \d+ packets? received, 0 dropped\n"
                                r"clients send [\d.]+ k?bit/s, servers 0 bit/s; \d+ packets/s, 0 dropped/s\n", terminal.screen)
                terminal.resize(30, 4)
                small = terminal.wait(lambda screen: len(screen.splitlines()) == 4 and screen)
                assert max(map(len, small.splitlines())) <= 30 and "more lines" in small, small
                terminal.resize(120, 24)
                terminal.wait(lambda screen: "SERVER SENT" in screen and "more lines" not in screen)
                more.clear()
                terminal.wait(lambda screen: "1:6 " not in screen)
                terminal.type(keys)
                assert terminal.wait_end() == 0, terminal.proc.text()
                assert terminal.modes == {"?25"} and terminal.settings() == terminal.before, (
                    terminal.modes, terminal.settings(), terminal.before)
        for what in ("pairs", "totals"):
            with Terminal([program(), "--show", what, "--watch"], world.net.firewall) as terminal:
                terminal.wait(lambda screen: "LISTENS ON" in screen or "FIGURE" in screen)
                terminal.type("q")
                assert terminal.wait_end() == 0


def test_watch_outlives_the_instance():
    "--watch goes on over a worker's death, says so when the instance has ended, and goes on with the next one"
    with World(proxy=False) as world:
        words = ["-p", world.server.ip]
        with Proxy(world.net.firewall, words) as proxy:
            with Terminal([program(), "--show", "totals", "--watch"], world.net.firewall, 80, 100) as terminal:
                worker = proxy.worker
                terminal.wait(lambda screen: re.search(rf"^worker +{worker}$", screen, re.M))
                death = turmoil.kill(proxy)
                death.over()
                terminal.wait(lambda screen: re.search(rf"^worker +{proxy.worker}$", screen, re.M))
                proxy.stop()
                terminal.wait(lambda screen: "no instance at control socket @pptpproxy" in screen)
                with Proxy(world.net.firewall, words) as another:
                    terminal.wait(lambda screen: re.search(rf"^keeper +{another.pid}$", screen, re.M))
                    terminal.type("q")
                    assert terminal.wait_end() == 0


def test_watch_without_a_terminal():
    "without a terminal --watch prints one table below the other, without control characters, until it is ended"
    with World() as world:
        session = world.session()
        session.call(5, 7)
        process = Proc([program(), "--show", "calls", "--watch"], ns=world.net.firewall)
        process.wait_line(r"^1:5 ", PATIENCE, count=3)
        assert "\x1b" not in process.text() and process.lines("^$")
        process.signal(signal.SIGINT)
        assert process.wait() == 0
        text, status = ask(world, "--show", "calls", "--watch", "--json")
        assert status == 1 and "--watch" in text


def test_watch_in_the_background():
    "--watch as a background job waits for the foreground, as editors do, and ends by TERM while it waits"
    script = '"$@" & echo "[job $!]"; read line; fg %1; echo "[back $?]"; read line'
    words = ["sh", "-mc", script, "sh", program(), "--show", "calls", "--watch"]

    def state(pid):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    with World() as world:
        world.session().call(5, 7)
        for ends in (True, False):
            with Terminal(words, world.net.firewall) as terminal:
                pid = int(terminal.wait(lambda screen: re.search(r"\[job (\d+)\]", screen))[1])
                wait_until(lambda: state(pid) == "T", PATIENCE, "the job to wait")
                assert terminal.modes == set() and terminal.settings() == terminal.before
                if ends:
                    os.kill(pid, signal.SIGTERM)
                    os.kill(pid, signal.SIGCONT)
                    wait_until(lambda: not Path(f"/proc/{pid}/exe").exists(), PATIENCE, "the job to end")
                    assert "?1049" not in terminal.modes
                    continue
                terminal.type("\n")
                terminal.wait(lambda screen: "1:5 " in screen and "?1049" in terminal.modes)
                terminal.type("q")
                terminal.wait(lambda screen: "[back 0]" in screen)
                assert "?1049" not in terminal.modes and terminal.settings() == terminal.before


# ---- who may ask ----


def test_others_are_not_allowed():
    "another user is told so, ends nothing and sees nothing; root, the worker's user and who started it are answered, and named"
    with World() as world:
        session = world.session()
        call = session.call(5, 7)
        for words in (["--show", "calls"], ["--show", "totals", "--json"], ["--end", "1:5"], ["--show", "calls", "--watch"]):
            text, status = ask(world, *words, before=STRANGER)
            assert status == 1 and text.startswith("pptpproxy: not allowed: ") and text.count("\n") == 1, text
        call.check()
        session.check()
        status = Path(f"/proc/{world.proxy.worker}/status").read_text()
        uid = int(re.search(r"^Uid:\s+(\d+)", status, re.M)[1])
        assert uid != 0
        text, status = ask(world, "--show", "calls", before=["setpriv", f"--reuid={uid}", "--regid=54321", "--clear-groups"])
        assert status == 0 and "1:5" in text
        assert ask(world, "--end", "1:5", before=["setpriv", f"--reuid={uid}", "--regid=54321", "--clear-groups"])[1] == 0
        world.wait_line(session.client, f"{CALL_ENDED}: client ID 5, server ID 7: {ENDED_BY_US}, user {uid}: ")
    # By a path, its mode keeps others out already.
    with World(proxy=False) as world, Directory() as directory:
        path = directory / "socket"
        with Proxy(world.net.firewall, ["-p", world.server.ip, "--control", path]):
            assert ask(world, "--show", "calls", "--control", path)[1] == 0
            text, status = ask(world, "--show", "calls", "--control", path, before=STRANGER)
            assert status == 1 and "Permission denied" in text and str(path) in text, text


def test_no_instance():
    "without an instance: one line that names the socket, and status 1; --control, also of a file's line, chooses one"
    with World() as world, Directory() as directory:
        for words, name in ((["--control", "@another"], "@another"), (["--control", "/nonexistent/x"], "/nonexistent/x")):
            for question in (["--show", "calls"], ["--end", "1:5"], ["--show", "pairs", "--watch"]):
                text, status = ask(world, *question, *words)
                assert (text, status) == (f"pptpproxy: no instance at control socket {name}\n", 1)
        file = directory / "conf"
        file.write_text(f"proxy 192.0.2.1\ncontrol @another\nlog {directory}/log\n")
        assert "control socket @another" in ask(world, "--show", "calls", "-c", file)[0]
        assert not (directory / "log").exists()
        assert ask(world, "--show", "calls", "-c", file, "--control", "@pptpproxy")[1] == 0
        for words, bad in ((["--show", "what"], "--show what"), (["--end", "five"], "--end five"),
                           (["--show", "calls", "-p", "192.0.2.1"], "-p"), (["--end", "1:5", "-n"], "-n")):
            text, status = ask(world, *words)
            assert status == 1 and text.count("\n") == 1 and f"pptpproxy: {bad}" in text, text


# ---- hostile callers ----


def test_hostile_callers():
    "callers that flood, say nothing, too much or nonsense, or do not read hold up no call, and are gone in the end"
    with World() as world, ExitStack() as stack:
        session = world.session()
        call = session.call(5, 7)
        worker = world.proxy.worker
        raw(world, "show calls\n")
        before = watch.descriptors(worker)
        for request in ("\n", "show\n", "show calls xml\n", "show calls json json\n", "end\n", "end 1\n", "end 1:5 now\n",
                        "end -1:5\n", "tea\n", "show \x1b[2J\n", "x" * 255 + "\n", "a b c d e f g h i j\n"):
            answer = raw(world, request)
            assert answer.count("\n") == 1 and not answer.startswith("OK"), (request, answer)
            assert answer.isascii() and "\x1b" not in answer
        with caller(world) as sock:
            try:
                for _ in range(1000):
                    sock.sendall(b"show" * 10000)
            except OSError:
                pass
            assert "longer than" in read_all(sock)
        idle = [stack.enter_context(caller(world)) for _ in range(60)]
        busy = [sock for sock in idle[8:] if "busy" in read_all(sock)]
        assert len(busy) == 52
        call.check()
        session.check()
        text, status = ask(world, "--show", "calls")
        assert status == 1 and "busy" in text
        # Who went away makes room; who stays is let go of.
        for sock in idle[:4]:
            sock.close()
        wait_until(lambda: ask(world, "--show", "calls")[1] == 0, PATIENCE, "room")
        for sock in idle[4:8]:
            sock.settimeout(30)
            assert read_all(sock) == ""
        wait_until(lambda: watch.descriptors(worker) <= before, PATIENCE, "descriptors to be given back")
        call.check()


@tap.deadline(120)
def test_strangers_flood():
    "a stranger's flood of connections keeps nobody else from asking"
    flood = ("import socket, sys\n"
             "while True:\n"
             "  try:\n"
             "    with socket.socket(socket.AF_UNIX) as s:\n"
             "      s.connect('\\0pptpproxy'); s.sendall(b'show calls\\n'); assert b'not allowed' in s.recv(100)\n"
             "      print('once', flush=True)\n"
             "  except OSError: pass\n")
    with World() as world:
        session = world.session()
        call = session.call(5, 7)
        floods = [Proc([*STRANGER, "/usr/bin/python3", "-c", flood], ns=world.net.firewall) for _ in range(2)]
        try:
            for process in floods:
                process.wait_line("once", PATIENCE, count=50)
            for _ in range(5):
                assert ask(world, "--show", "calls")[1] == 0
                call.check()
            assert all(process.running() for process in floods)
        finally:
            for process in floods:
                process.kill()


def test_who_does_not_read():
    "a caller that does not read a long answer gets it as he reads, or is let go of; others are answered meanwhile"
    with World(debug=False) as world:
        session = world.session()
        for number in range(900):
            session.call(100 + number, 2000 + number, settle=False)
        with caller(world) as slow, caller(world) as slower:
            slow.sendall(b"show calls\n")
            slower.sendall(b"show calls\n")
            assert len(show(world, "calls")) == 901
            head, _, text = read_all(slow).partition("\n")
            assert head == f"OK {len(text)}" and text.count("\n") == 901
            session.check()


# ---- deaths and upgrades ----


def test_question_while_the_worker_dies():
    "who was heard by a worker that dies is told so; who waits is answered by the next one"
    with World() as world:
        session = world.session()
        session.call(5, 7)
        world.log.wait(CALL_OPENED)
        heard = caller(world)
        heard.sendall(b"show")
        wait_until(lambda: _accepted(world), PATIENCE, "the caller to be accepted")
        worker = world.proxy.worker
        os.kill(worker, signal.SIGSTOP)
        waiting = Proc([program(), "--show", "calls"], ns=world.net.firewall)
        wait_until(lambda: _queued(world) > 0, PATIENCE, "a caller in the queue")
        death = turmoil.kill(world.proxy)
        death.over()
        assert waiting.wait() == 0 and "1:5" in waiting.text(), waiting.text()
        assert read_all(heard) == ""
        heard.close()
        # One that is cut off by an instance that goes away for good.
        with World(proxy=False) as other:
            with other.net.firewall:
                fake = socket.socket(socket.AF_UNIX)
                fake.bind(CONTROL)
                fake.listen()
            for says in (b"", b"OK 100\ncall\n"):
                process = Proc([program(), "--show", "calls"], ns=other.net.firewall)
                sock, _ = fake.accept()
                sock.recv(100)
                sock.sendall(says)
                sock.close()
                assert process.wait() == 1
                assert re.fullmatch(r"pptpproxy: control socket @pptpproxy: the instance ended before it (had )?answered\n",
                                    process.text()), process.text()
            # What it says is shown, not obeyed.
            process = Proc([program(), "--show", "calls"], ns=other.net.firewall)
            sock, _ = fake.accept()
            sock.recv(100)
            text = b"call\tclient\n\x1b[2J1:5\t\xc2\x9b10.0.0.1\x07\n"
            sock.sendall(b"OK %d\n" % len(text) + text)
            sock.close()
            assert process.wait() == 0
            assert "?[2J1:5" in process.text() and process.text().replace("\n", "").isprintable(), process.text()
            fake.close()


def _unix(world):
    with world.net.firewall, open("/proc/thread-self/net/unix") as table:
        return [line.split() for line in table if line.rstrip().endswith(" @pptpproxy")]


def _accepted(world):
    """How many connections somebody has accepted."""
    return sum(row[5] == "03" for row in _unix(world))


def _queued(world):
    """How many connections wait for that."""
    return sum(row[5] == "02" for row in _unix(world))


def test_questions_over_an_upgrade():
    "questions are answered before, while and after the program is replaced; figures go on"
    with World(proxy=False) as world, turmoil.Installed() as installed:
        with installed.in_use():
            world.start()
        session = world.session()
        call = session.call(5, 7)
        call.check()
        over, answers = threading.Event(), []

        def keep_asking():
            while not over.is_set():
                answers.append(ask(world, "--show", "calls"))

        thread = threading.Thread(target=keep_asking)
        thread.start()
        installed.replace(installed.octets)
        turmoil.upgrade(world.proxy)
        wait_until(lambda: len(answers) > 5, PATIENCE, "answers")
        over.set()
        thread.join()
        # Whoever was just heard by the worker that left is told so.
        assert all((status == 0 and "1:5" in text) or "instance ended before it" in text for text, status in answers), answers
        assert answers[-1][1] == 0
        [row] = lines_of(world, "calls")
        assert row["client_packets"] == "1"
        call.check()


# ---- an end ----


def _ends(world, name):
    text, status = ask(world, "--end", name)
    assert status == 0, text
    return text


def test_end_of_an_open_call():
    "--end: each end hears what its peer would have said, once; what it answers reaches nobody, other calls go on"
    with World() as world:
        session = world.session()
        call, other = session.call(5, 7), session.call(6, 8)
        number = world.number(session.client)
        text = _ends(world, f"{number}:5")
        address = "%s:%d" % session.client.local
        assert text == f"call ended: #{number} {address} -> 10.2.0.10:1723: client ID 5, server ID 7\n", text
        session.client.expect(CDN, call_id=call.client_sees, result=3)
        session.server.expect(CCRQ, call_id=call.server_sees)
        world.wait_line(session.client, f"{CALL_ENDED}: client ID 5, server ID 7: {ENDED_BY_US}, user 0: ")
        call.up()
        call.down()
        other.check()  # nothing of the ended call came before
        # The PAC's answer, and what a PNS says that had not heard of it yet.
        session.server.send(build(CDN, call_id=7, result=4))
        session.client.send(build(CCRQ, call_id=5))
        session.client.send(build(SLI, peer_id=call.client_sees))
        session.check()
        other.check()
        assert not any("Call-Disconnect-Notify" in line for line in world.lines(session.client, DROPPED))
        text, status = ask(world, "--end", f"{number}:5")
        assert (text, status) == (f"pptpproxy: {number}:5: no such call\n", 1)
        # The same ID may be used again, and the connection ends as ever.
        again = session.call(5, 9)
        again.check()
        other.clear()
        session.check()


def test_end_of_any_kind_of_call():
    "--end of calls that the server asked for, of incoming ones, and of those that wait for a Reply"
    with World() as world:
        session = world.session()
        number = world.number(session.client)
        back = session.call_back(5, 7)
        _ends(world, f"{number}:5")
        session.client.expect(CCRQ, call_id=back.client_sees)
        session.server.expect(CDN, call_id=back.server_sees, result=3)
        session.client.send(build(CDN, call_id=5, result=4))
        session.check()
        incoming = session.incoming(6, 8)
        _ends(world, f"{number}:6")
        session.client.expect(CDN, call_id=incoming.client_sees, result=3)
        session.server.expect(CCRQ, call_id=incoming.server_sees)
        session.server.send(build(CDN, call_id=8, result=4))
        session.check()
        # Of the client's own: it hears a refusal, and the server's yes, which was on its way, goes no further.
        session.client.send(build(OCRQ, call_id=9))
        seen = session.server.expect(OCRQ).call_id
        _ends(world, f"{number}:9")
        session.client.expect(OCRP, peer_id=9, result=2)
        session.server.expect(CCRQ, call_id=seen)
        session.server.send(build(OCRP, call_id=10, peer_id=seen), build(CDN, call_id=10, result=4))
        session.check()
        # Of the server's: no ID of the client's is known.
        session.server.send(build(ICRQ, call_id=11))
        seen = session.client.expect(ICRQ).call_id
        text = _ends(world, f"{number}:-")
        assert text.startswith("call ended before it opened: ") and "server ID 11" in text
        session.server.expect(ICRP, peer_id=11, result=2)
        session.client.expect(CDN, call_id=seen, result=3)
        session.check()
        # Two of these: neither is ended instead of the other.
        session.server.send(build(ICRQ, call_id=12), build(ICRQ, call_id=13))
        seen = [session.client.expect(ICRQ).call_id for _ in range(2)]
        text, status = ask(world, "--end", f"{number}:-")
        assert (text, status) == (f"pptpproxy: {number}:-: more than one call has no client ID yet: "
                                  "which one cannot be told\n", 1)
        session.client.send(build(ICRP, call_id=14, peer_id=seen[1]))
        session.server.expect(ICRP, peer_id=13)
        text = _ends(world, f"{number}:-")
        assert "server ID 12" in text, text
        _ends(world, f"{number}:14")
        world.log.wait(ENDED_BY_US, PATIENCE, count=6)
        assert not show(world, "calls")[1:]


def test_end_while_an_end_does_not_read():
    "--end where one end does not read: what there is room for waits behind the rest, else nothing is ended and that is said"
    with World(debug=False) as world:
        session = world.session()
        # A socket that has been full takes some more before it says that there is room.
        calls = [session.call(1000 + i, 2000 + i, settle=False) for i in range(400)]
        session.check()
        number = world.number(session.client)
        octets = build(ECHO_RQ, identifier=7, tail=bytes(900))
        [(sent, rest)] = tcp.fill(world.proxy, [(session.server, session.client)], octets)
        answers = [raw(world, f"end {number}:{call.client_id}\n") for call in calls]
        ended = [call for call, text in zip(calls, answers) if text.startswith("OK ")]
        refused = [(call, text) for call, text in zip(calls, answers) if not text.startswith("OK ")]
        assert ended and refused
        assert all("not ended: one end does not read" in text for _, text in refused), refused
        for call in ended:
            session.server.expect(CCRQ, call_id=call.server_sees)
        assert len(show(world, "calls")) == 1 + len(refused)
        # They come behind what had been begun, each once.
        for count in (sent // len(octets), (sent + len(rest)) // len(octets) - sent // len(octets)):
            while count:
                message = session.client.receive()
                if message.type == CDN:
                    assert message.call_id == ended.pop(0).client_sees
                else:
                    assert message.octets == octets
                    count -= 1
            session.server.send(rest)
            rest = b""
        for call in ended:
            session.client.expect(CDN, call_id=call.client_sees)
        session.check()
        for call, _ in refused[:3]:
            call.check()
            _ends(world, f"{number}:{call.client_id}")
            session.client.expect(CDN, call_id=call.client_sees)
            session.server.expect(CCRQ, call_id=call.server_sees)


def test_end_and_then_a_death():
    "a worker killed right behind an end: both ends hear of it once, the answer is still known for what it is"
    with World() as world:
        session = world.session()
        number = world.number(session.client)
        for round_ in range(5):
            call, other = session.call(5, 7), session.call(6, 8)
            _ends(world, f"{number}:5")
            death = turmoil.kill(world.proxy)
            session.client.expect(CDN, call_id=call.client_sees, result=3)
            session.server.expect(CCRQ, call_id=call.server_sees)
            # An ID that names nothing would else end the only call that there is.
            session.server.send(build(CDN, call_id=0x4321, result=4))
            death.over()
            session.check()
            other.check()
            other.clear()


def test_end_of_a_real_call():
    "--end of a call between pptp and pptpd: both sides' processes end by themselves, and the next call comes up"
    with DualHomed() as net, Pptpd(net.server) as pptpd, Proxy(net.firewall, ["-p", net.server.ip]) as proxy:
        for number in (1, 2):
            with RealCall(net.client, net.inside) as call:
                call.wait_up()
                call.ping()
                process = Proc([program(), "--show", "calls"], ns=net.firewall)
                assert process.wait() == 0
                name = re.search(r"^(\d+:\d+) ", process.text(), re.M)[1]
                process = Proc([program(), "--end", name], ns=net.firewall)
                assert process.wait() == 0 and process.text().startswith("call ended: "), process.text()
                call.wait_gone()
                wait_until(lambda: not pptpd.children(), 15, "pptpd's side of the call to end")
            proxy.log.wait(f"{CALL_ENDED}.*{ENDED_BY_US}", count=number)
            proxy.log.wait(CLOSED, count=number)


if __name__ == "__main__":
    tap.main()
