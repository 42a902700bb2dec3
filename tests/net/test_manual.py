#!/usr/bin/python3
"""The manual pages' own words, tried: their command lines with real calls, firewall rules, lists.

Everything that is run here is read from man/pptpproxy.8 and the two pages beside it as it stands there. The networks are those
that the page's examples use; lab/examples.py draws them.
"""

import os
import re
import shlex
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, watch
from lab.examples import Lab, Machine
from lab.netns import need
from lab.proc import Lines, Proc, wait_until
from lab.proxy import CALL_ENDED, CONNECTED, NO_GRE, READY, ROOT, program
from lab.real import Call

SCENARIO_1 = "Scenario 1: a client behind a firewall"
SCENARIO_2 = "Scenario 2: a server behind a firewall"
SCENARIO_3 = "Scenario 3: both"
CHAIN = "Two servers and a chain with ports"
COMMAND = "Addresses from a file"
DAEMON = "A daemon with a log file"
FILE = "A configuration file"
WATCH = "To see what happens"
EXPLAIN = "To find out what happened"
TAP = "CAPTURES"
ACL_PAGE, CONF_PAGE = "pptpproxy-acl.7", "pptpproxy.conf.5"
LISTS = "A list for each pair"
BY_HAND = "To try a command"
TRIED = {SCENARIO_1: 1, SCENARIO_2: 1, SCENARIO_3: 2, CHAIN: 2, COMMAND: 1, DAEMON: 1, FILE: 2, WATCH: 1, EXPLAIN: 1, TAP: 1}
TRIED_BESIDE = {ACL_PAGE: {LISTS: 1}, CONF_PAGE: {"WHEN IT COUNTS": 1}}


# ---- the page ----


def unescape(text):
    return text.replace(r"\e", "\\").replace(r"\(dq", '"').replace(r"\-", "-")


def page(name="pptpproxy.8"):
    return (ROOT / "man" / name).read_text()


def section(title, name="pptpproxy.8"):
    """The source of a section, or of a subsection."""
    found = re.search(rf"^\.S[hs] {re.escape(title)}\n(.*?)(?=^\.S[hs] |\Z)", page(name), re.M | re.S)
    assert found, f"the page has no section '{title}'"
    return found[1]


def displays(text):
    """What stands apart from the text, as a reader would copy it."""
    for one in re.finditer(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$|^\.Dl ([^\n]*)$", text, re.M | re.S):
        yield unescape(one[1] or one[2])


def commands(title, page_name="pptpproxy.8", name="pptpproxy"):
    """The words, without the first, of each command line in a section."""
    joined = (display.replace("\\\n", " ") for display in displays(section(title, page_name)))
    lines = (line for display in joined for line in display.splitlines())
    return [shlex.split(line)[1:] for line in lines if line.startswith(name + " ")]


# ---- the examples ----


def test_every_example_is_tried():
    "each of the pages' command lines has a test here"
    for name, tried in {"pptpproxy.8": TRIED, **TRIED_BESIDE}.items():
        titles = re.findall(r"^\.S[hs] (.*)$", page(name), re.M)
        found = {}
        for title in titles:
            count = len(commands(title, name))
            if count and title != "EXAMPLES":
                found[title] = count
        assert found == tried, f"{name} has {found}, tried are {tried}"


def test_scenario_1():
    "scenario 1: a client behind a firewall; a stranger is refused"
    [words] = commands(SCENARIO_1)
    with Lab() as lab:
        lab.pptpd(lab.net.vpn, 10)
        proxy = lab.proxy(lab.net.home, words)
        lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()
        proxy.log.wait(CALL_ENDED)
        lab.refused(lab.net.traveller, "203.0.113.1", proxy)


def test_scenario_2():
    "scenario 2: a server behind a firewall, for everyone"
    [words] = commands(SCENARIO_2)
    with Lab() as lab:
        lab.pptpd(lab.net.servers[0], 27)
        lab.proxy(lab.net.office, words)
        for client in (lab.net.traveller, lab.net.vpn):
            lab.call(client, "203.0.113.20", 27).hang_up()


def test_scenario_3():
    "scenario 3: client and server each behind a firewall"
    home, office = commands(SCENARIO_3)
    with Lab() as lab:
        lab.pptpd(lab.net.servers[0], 27)
        lab.proxy(lab.net.office, office)
        proxy = lab.proxy(lab.net.home, home)
        lab.call(lab.net.workstation, "192.0.2.1", 27).hang_up()
        lab.refused(lab.net.traveller, "203.0.113.1", proxy)


def test_chain_with_ports():
    "two servers by way of two ports: each inner address leads to its server"
    office, home = commands(CHAIN)
    with Lab() as lab:
        for server, number in zip(lab.net.servers, (27, 28)):
            lab.pptpd(server, number)
        lab.proxy(lab.net.office, office)
        lab.proxy(lab.net.home, home)
        calls = [lab.call(lab.net.workstation, "192.0.2.1", 27), lab.call(lab.net.workstation, "192.0.2.3", 28)]
        for call in calls:
            call.ping(2)
            call.hang_up()


def test_external_command():
    "the script and its file let in who is listed, and the rule who is in the office; changes count at once"
    [words] = commands(COMMAND)
    [script] = [display for display in displays(section(COMMAND)) if display.startswith("#!")]
    with Lab() as lab:
        room = lab.machine()
        directory = room.etc / "pptpproxy"
        directory.mkdir()
        allow, allowed = directory / "allow", directory / "allowed"
        allow.write_text(script)
        allow.chmod(0o755)
        allowed.write_text("# not 203.0.113.99\n203.0.113.9\n203.0.113.10\n")
        lab.pptpd(lab.net.servers[0], 27)
        proxy = lab.proxy(lab.net.office, words, room=room)
        lab.call(lab.net.vpn, "203.0.113.20", 27).hang_up()
        lab.call(lab.net.servers[1], "198.51.100.1", 27).hang_up()
        lab.refused(lab.net.traveller, "203.0.113.20", proxy)
        with allowed.open("a") as file:
            file.write("203.0.113.99\n")
        lab.call(lab.net.traveller, "203.0.113.20", 27).hang_up()


def test_command_with_lists():
    "the script of pptpproxy-acl(7) has a list for each pair; without a list nobody is let in"
    [words] = commands(LISTS, ACL_PAGE)
    [script] = [display for display in displays(section(LISTS, ACL_PAGE)) if display.startswith("#!")]
    one, two = re.findall(r"^\.Pa (/etc/pptpproxy/allowed-\S+)", section(LISTS, ACL_PAGE), re.M)
    with Lab() as lab:
        room = lab.machine()
        directory = room.etc / "pptpproxy"
        directory.mkdir()
        (directory / "allow").write_text(script)
        (directory / "allow").chmod(0o755)
        (directory / Path(one).name).write_text("203.0.113.99\n")
        for server, number in zip(lab.net.servers, (27, 28)):
            lab.pptpd(server, number)
        proxy = lab.proxy(lab.net.office, words, room=room)
        second = lab.proxy(lab.net.home, ["-p", "192.0.2.1,203.0.113.20:1724"])
        lab.call(lab.net.traveller, "203.0.113.20", 27).hang_up()
        mark = proxy.log.mark()
        lab.enter(Call(lab.net.workstation, "192.0.2.1")).wait_gone(30)
        proxy.log.wait("refused", after=mark)
        assert proxy.log.matching("status 2", mark), proxy.log.all(mark)
        (directory / Path(two).name).write_text("203.0.113.1\n")
        lab.call(lab.net.workstation, "192.0.2.1", 28).hang_up()
        lab.refused(lab.net.vpn, "203.0.113.20", proxy)
        second.stop()


def test_command_by_hand():
    "the line of pptpproxy-acl(7) that tries a command prints its status, and runs it with what the program gives it"
    [line] = displays(section(BY_HAND, ACL_PAGE))
    [script] = [display for display in displays(section(LISTS, ACL_PAGE)) if display.startswith("#!")]
    with Machine() as machine:
        directory = machine.etc / "pptpproxy"
        directory.mkdir()
        allow = directory / "allow"
        for text, expected in ((script, "0\n"), ("#!/bin/sh\nenv | cut -d= -f1 | sort | tr '\\n' ' '; id -un\n", None)):
            allow.write_text(text)
            allow.chmod(0o755)
            (directory / "allowed-203.0.113.20:1723").write_text("203.0.113.99\n")
            process = Proc(["sh", "-c", line], room=machine)
            assert process.wait() == 0
            if expected:
                assert process.text() == expected, process.text()
        given = set(re.findall(r"^\.(?:It )?Ev (\w+)", section("WHAT A COMMAND GETS", ACL_PAGE), re.M))
        assert given == {"PATH", "PPTPPROXY_CLIENT", "PPTPPROXY_LISTEN", "PPTPPROXY_PEER"}
        # What a shell adds by itself is not ours.
        names, status = process.text().splitlines()
        assert set(names.split()) - {"PWD", "OLDPWD", "SHLVL", "_", "nobody"} == given, names
        assert names.endswith("nobody") and status == "0", process.text()


def test_daemon():
    "the daemon with a log file: the command ends with 0 when calls are accepted; log rotation; a new version; the end"
    [words] = commands(DAEMON)
    rotate, upgrade = (display for display in displays(section(DAEMON)) if display.startswith("kill "))
    with Lab() as lab:
        room = lab.machine()
        lab.pptpd(lab.net.vpn, 10)
        start = Proc([program(), *words], ns=lab.net.home, room=room)
        assert start.wait(30) == 0, start.text()
        pid = int((room.run / "pptpproxy.pid").read_text())
        file = room.log / "pptpproxy.log"
        log = Lines("log file")
        unfollow = log.follow(file)
        log.wait(rf"^\d+-\d+-\d+T[\d:.]+ {READY}.*pid {pid},")
        lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()
        log.wait(CALL_ENDED)
        unfollow()
        file.rename(room.log / "pptpproxy.log.1")
        assert Proc(["sh", "-c", rotate], ns=lab.net.home, room=room).wait() == 0
        wait_until(file.exists, what="a new log file")
        mark = file.stat().st_size
        call = lab.call(lab.net.workstation, "192.0.2.1", 10)
        assert Proc(["sh", "-c", upgrade], ns=lab.net.home, room=room).wait() == 0
        wait_until(lambda: re.search(rf"upgraded: .*pid {pid}: 1 connections, 1 calls", file.read_text()), what="the upgrade")
        call.ping(2)
        call.hang_up()
        os.kill(pid, 15)
        wait_until(lambda: watch.gone(pid), what="the daemon to end")
        assert re.search(CALL_ENDED, file.read_text()[mark:])
        assert file.read_text().endswith(" stopped\n")
        assert not (room.run / "pptpproxy.pid").exists()


def test_configuration_file():
    "the configuration file is good, and does what its lines say"
    check, words = commands(FILE)
    assert check == [*words, "--check"]
    [text] = [display for display in displays(section(FILE)) if display.startswith("#")]
    with Lab() as lab:
        room = lab.machine()
        lab.pptpd(lab.net.vpn, 10)
        (room.etc / "pptpproxy.conf").write_text(text)
        checked = Proc([program(), *check], ns=lab.net.home, room=room)
        assert checked.wait(30) == 0 and checked.text() == "OK\n", checked.text()
        assert not list(room.log.iterdir()) and not list(room.run.iterdir())
        proxy = lab.proxy(lab.net.home, words, room=room, log_file=room.log / "pptpproxy.log")
        assert (room.run / "pptpproxy.pid").read_text() == f"{proxy.pid}\n"
        lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()
        lab.refused(lab.net.traveller, "203.0.113.1", proxy)


def test_configuration_file_error():
    "a bad line is told as the page shows it"
    [line] = [display for display in displays(section("CONFIGURATION FILE"))]
    path, number, option, value = re.fullmatch(r"(\S+) line (\d+): (\S+) (\S+): .*\n?", line).groups()
    with Machine() as machine:
        (machine.etc / Path(path).name).write_text("\n" * (int(number) - 1) + f"{option} {value}\n")
        process = Proc([program(), "-c", path], room=machine)
        assert process.wait() == 1
        assert process.text() == f"pptpproxy: {line.strip()}\n", process.text()


def test_configuration_page():
    "the example of pptpproxy.conf(5) is good, and does what its lines say"
    [text] = [display for display in displays(section("EXAMPLES", CONF_PAGE)) if display.startswith("proxy ")]
    [check] = commands("WHEN IT COUNTS", CONF_PAGE)
    with Lab() as lab:
        room = lab.machine()
        (room.etc / "pptpproxy").mkdir()
        allow = room.etc / "pptpproxy/allow"
        allow.write_text('#!/bin/sh\n[ "$1" = "#1 office" ] && [ "$2" = 203.0.113.1 ]\n')
        allow.chmod(0o755)
        (room.etc / "pptpproxy.conf").write_text(text)
        checked = Proc([program(), *check], ns=lab.net.office, room=room)
        assert checked.wait(30) == 0 and checked.text() == "OK\n", checked.text()
        for server, number in zip(lab.net.servers, (27, 28)):
            lab.pptpd(server, number)
        proxy = lab.proxy(lab.net.office, check[:-1], room=room, log_file=room.log / "pptpproxy.log")
        lab.call(lab.net.vpn, "203.0.113.20", 27).hang_up()
        lab.call(lab.net.home, "203.0.113.20", 27).hang_up()
        lab.proxy(lab.net.home, ["-p", "192.0.2.1,203.0.113.20:1724"])
        lab.call(lab.net.workstation, "192.0.2.1", 28).hang_up()
        lab.refused(lab.net.traveller, "203.0.113.20", proxy)


def test_configuration_page_options():
    "pptpproxy.conf(5) lists each option that the file takes, what adds up, what needs a new start, and its default"
    rows = re.findall(r"^\.It Cm ([\w-]+)(?: Ns ([*+]+))? Ta (.*?) ?Ta (.*)$", section("OPTIONS", CONF_PAGE), re.M)
    listed = {name: (marks, value, default) for name, marks, value, default in rows}
    items = re.findall(r"^\.It (Fl .*)$", section("OPTIONS"), re.M)
    names = {name for item in items for name in re.findall(r"(?:Fl|,) -([\w-]+)", item)}
    [excepted] = re.findall(r"^The options\n(.*?)\nare not for the file", section("CONFIGURATION FILE"), re.M | re.S)
    assert set(listed) == names - set(re.findall(r"[\w-]{3,}", excepted.replace("and\n", ""))) - {"aclCmd"}
    fixed = set(re.findall(r'\? "([\w-]+)"', re.search(r"fixed_option\(.*?^}", (ROOT / "keeper/keeper_change.c").read_text(),
                                                     re.M | re.S)[0]))
    assert {name for name, (marks, _, _) in listed.items() if "+" in marks} == fixed
    adding = re.search(r"; but\n(.*?)\nadd up", section("OPTIONS"), re.S)[1]
    repeatable = {name for item in items for letter in [re.match(r"Fl (\w)?", item)[1]]
                  for name in re.findall(r"(?:Fl|,) -([\w-]+)", item)
                  if f"Fl -{name}\n" in f"{adding}\n" or letter and re.search(rf"Fl {letter}\b", adding)}
    assert {name for name, (marks, _, _) in listed.items() if "*" in marks} == repeatable - {"aclCmd"}
    ranges = re.findall(r"^\.It Fl -([\w-]+) Ar \w+\n(?:(?!^\.It).*\n)*?Range \d+ to \d+, default ([\w ]+)\.$",
                        section("OPTIONS"), re.M)
    assert {name: listed[name][2] for name, _ in ranges if name in listed} == {
        name: default for name, default in ranges if name in listed}


def test_watching():
    "-e shows each message and each packet, in and out"
    [words] = commands(WATCH)
    with Lab() as lab:
        lab.pptpd(lab.net.vpn, 10)
        proxy = lab.proxy(lab.net.home, words, debug=False)
        lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()
        for line in ("Outgoing-Call-Request from client", "control from client, 168 octets",
                     "control to server, 168 octets", r"GRE in, 192\.0\.2\.2 -> 192\.0\.2\.1, \d+ octets",
                     r"GRE out, 203\.0\.113\.1 -> 203\.0\.113\.10, \d+ octets",
                     "    0000  00 a8 00 01 1a 2b 3c 4d  00 07"):
            proxy.log.wait(line)


def has_all(tcpdump):
    """It says how many packets it has written, and how many there were."""
    mark = tcpdump.log.mark()
    tcpdump.signal(signal.SIGUSR1)
    found = tcpdump.log.wait(r"(\d+) packets? captured, (\d+) packets? received by filter", after=mark)
    return found[1] == found[2] != "0"


def test_explain():
    "a capture taken as the page says is explained as it says"
    need("tcpdump")
    [words] = commands(EXPLAIN)
    [capture] = commands(EXPLAIN, name="tcpdump")
    with Lab() as lab, tempfile.TemporaryDirectory() as place:
        lab.pptpd(lab.net.vpn, 10)
        lab.proxy(lab.net.home, commands(SCENARIO_1)[0])
        with Proc(["tcpdump", *capture], ns=lab.net.home, cwd=place) as tcpdump:
            tcpdump.wait_line("listening on")
            lab.call(lab.net.workstation, "192.0.2.1", 10).hang_up()
            # It takes what the kernel has gathered once a second, and loses the rest when it ends.
            wait_until(lambda: has_all(tcpdump), what="tcpdump to take all packets")
            tcpdump.signal(signal.SIGINT)
            tcpdump.wait()
        process = Proc([program(), *words], cwd=place)
        assert process.wait() == 0
        text = re.sub(r"\s+", " ", process.text())
        for line in ("2 control connections, 2 calls", "the same call as 2.1", "Nothing looks wrong."):
            assert line in text, process.text()


def test_tap():
    "the capture of a running instance goes into the pipe as the page shows it; tshark stands for Wireshark, which has windows"
    need("tshark")
    [line] = [display for display in displays(section(TAP)) if "| wireshark" in display]
    assert line == "pptpproxy --tap all --capture - | wireshark -k -i -\n", line
    shell = line.replace("pptpproxy", f"exec {program()}", 1).replace("wireshark -k -i -", "tshark -l -r - 2>/dev/null").strip()
    with Lab() as lab:
        lab.pptpd(lab.net.vpn, 10)
        proxy = lab.proxy(lab.net.home, commands(SCENARIO_1)[0])
        with Proc(["sh", "-c", shell], ns=lab.net.home, name="tap into tshark") as tap_:
            proxy.log.wait(r"tap all: begins")
            call = lab.call(lab.net.workstation, "192.0.2.1", 10)
            tap_.wait_line(r"192\.0\.2\.2 .* 192\.0\.2\.1 .*PPTP.*Outgoing-Call-Request", 20)
            tap_.wait_line(r"203\.0\.113\.1 .* 203\.0\.113\.10 .*PPP", 20)
            call.hang_up()


# ---- the firewall ----


def readme():
    """README.md's displays."""
    return re.findall(r"^```[^\n]*\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)


def rules():
    [text] = [display for display in displays(section("HOST FIREWALL")) if display.startswith("table ")]
    return text


def without(text, chain, rule):
    """The rules without one of a chain."""
    head, body = text.split(f"\tchain {chain} {{\n")
    assert f"\t\t{rule}\n" in body
    return f"{head}\tchain {chain} {{\n" + body.replace(f"\t\t{rule}\n", "", 1)


def load(ns, text):
    ns.run(["nft", "-f", "-"], input="flush ruleset\n" + text)


def test_firewall_rules():
    "with the page's firewall rules calls come up, and connection tracking does not see their packets"
    need("nft")
    with Lab() as lab:
        lab.pptpd(lab.net.vpn, 10)
        lab.proxy(lab.net.home, commands(SCENARIO_1)[0])
        for text in (rules(), *(block for block in readme() if block.startswith("table "))):
            load(lab.net.home, text)
            call = lab.call(lab.net.workstation, "192.0.2.1", 10)
            with lab.net.home:
                tracked = Path("/proc/thread-self/net/nf_conntrack")
                lines = tracked.read_text().splitlines() if tracked.exists() else []
            assert not [line for line in lines if re.search(r"\bgre\b|\bunknown +47\b", line)], lines
            call.hang_up()


def test_firewall_lets_no_gre_in():
    "without the rule for GRE in, the log warns of both directions"
    need("nft")
    with Lab() as lab:
        load(lab.net.home, without(rules(), "in", "ip protocol gre accept"))
        lab.pptpd(lab.net.vpn, 10)
        proxy = lab.proxy(lab.net.home, commands(SCENARIO_1)[0])
        call = lab.enter(Call(lab.net.workstation, "192.0.2.1"))
        proxy.log.wait(NO_GRE, 25 * tap.slowdown(), count=2)
        assert not call.up()
        assert {line.split("no GRE from ")[1].split(" for")[0] for line in proxy.log.matching(NO_GRE)} == {
            "client 192.0.2.2", "server 203.0.113.10"}


def test_firewall_lets_no_gre_out():
    "without the rule for GRE out, the packets are counted as send errors"
    need("nft")
    with Lab() as lab:
        load(lab.net.home, without(rules(), "out", "ip protocol gre accept"))
        lab.pptpd(lab.net.vpn, 10)
        proxy = lab.proxy(lab.net.home, [*commands(SCENARIO_1)[0], "-e"])
        lab.enter(Call(lab.net.workstation, "192.0.2.1"))
        proxy.log.wait(CONNECTED)
        proxy.log.wait("GRE out, ")
        proxy.stop()
        proxy.log.wait(r"GRE packets dropped: \d+: send error")


# ---- the lists ----


FOLDERS = "host|wire|acl|callid|snoop|capture|control|gre|fastpath|options|keeper|status|doctor|explain|worker|docs|bench"
SAYING = ("*.c", *(f"{room}/*.c" for room in ("host", "acl", "snoop", "control", "gre", "fastpath", "options", "keeper", "capture", "status", "worker")))  # whoever has something to say
LITERAL = r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*'  # a string, of several pieces


def joined(literal):
    return re.sub(r'"\s*"', "", literal)[1:-1]


def sources_text(*patterns):
    """The sources without their comments."""
    text = "".join(path.read_text() for pattern in patterns for path in sorted(ROOT.glob(pattern)))
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def said():
    """Everything that the sources can say: their string literals, neighbours joined."""
    return [joined(literal) for literal in re.findall(LITERAL, sources_text(*SAYING))]


def keys():
    """What the page's section about the log explains."""
    return re.findall(r'^\.It Li "(.*)"$', section("LOG"), re.M)


def test_messages():
    "each message that the page explains is one that the program has"
    assert len(keys()) > 20
    known = said()
    # "%s: ending" and the like: the words around the blank.
    unknown = [key for key in keys() if not any(key.removeprefix("SIGTERM") in literal for literal in known)]
    assert not unknown, f"the program never says: {unknown}"


def complaints():
    """What the program can say as an error or a warning, as format strings."""
    text = sources_text(*SAYING)
    calls = r"\blog_(?:error|warning)\(|\blog_line_begin\([^;]*LOG_LEVEL_(?:ERROR|WARNING)\);\s*log_line_set\([^\",]*,"
    found = re.findall(rf"(?:{calls})\s*({LITERAL})", text)
    assert len(found) == len(re.findall(rf"(?:{calls})(?!const)", text)), "one whose format is no string"
    return [joined(literal) for literal in found]


def test_warnings():
    "each error and each warning of the program is explained in the page's section about the log"
    # An error alone is the sentence that the program ends with at its start; EXIT STATUS tells of those.
    found = [text for text in complaints() if text != "%s"]
    assert len(found) > 8, found
    # Of one word might be anybody's.
    explained = [key for key in keys() if " " in key]
    missing = [text for text in found if not any(key in text for key in explained)]
    assert not missing, f"the page does not explain: {missing}"


REASON = re.compile(rf"X\(REASON_\w+, ({LITERAL}),\s*({LITERAL})\)")


def reasons():
    """Families of (name, meaning), as the program has them."""
    text = (ROOT / "reason.h").read_text().replace("\\\n", "\n")
    tables = re.findall(r"#define REASON_[A-Z]+\(X\)(.*?)\n\n", text, re.S)
    return [[(joined(name), joined(meaning)) for name, meaning in REASON.findall(table)] for table in tables]


def test_reasons():
    "the page's tables of reasons have the program's names, in their order, each with its meaning first"
    lists = re.findall(r"^\.Bl -tag[^\n]*\n(.*?)^\.El$", section("Reasons"), re.M | re.S)
    found = [re.findall(r'^\.It Li "(.*)"\n(.*)$', text, re.M) for text in lists]
    known = [[(name, f"{meaning[0].upper()}{meaning[1:]}.") for name, meaning in table] for table in reasons()]
    assert len(known) == 4 and all(len(table) > 4 for table in known), known
    for page_has, program_has in zip(found, known, strict=True):
        assert page_has == program_has, f"the page has {page_has}, the program {program_has}"


def findings():
    """What the doctor can find, as format strings."""
    text = sources_text("doctor/*.c")
    found = re.findall(rf"\bdoctor_report_(?:note|warning|error)\(\s*[\w>.&-]+,\s*({LITERAL})", text)
    assert len(found) == len(re.findall(r"\bdoctor_report_(?:note|warning|error)\((?!struct)", text)), "one whose format is no string"
    return [joined(literal) for literal in found]


def test_findings():
    "each finding of the doctor is explained in the page's section about it, and each that is explained is one"
    # "... drops ...": what is about it differs.
    explained = re.findall(r'^\.It Li "(?:\.\.\.)?(.*?)(?:\.\.\.)?"$', section("DIAGNOSIS"), re.M)
    found = findings()
    assert len(found) > 40, found
    missing = [text for text in found if not any(key in text for key in explained)]
    assert not missing, f"the page does not explain: {missing}"
    unknown = [key for key in explained if not any(key in text for text in found)]
    assert not unknown, f"the doctor never says: {unknown}"


def test_options():
    "the page has each option of --help, with its default, and no other"
    help_text = Proc([program(), "--help"])
    assert help_text.wait() == 0
    short, long_names = set(), set()
    for line in help_text.text().splitlines():
        found = re.match(r"  (?:-(\w), |    )--([\w-]+)", line)
        if found:
            short |= {found[1]} - {None}
            long_names.add(found[2])
    items = re.findall(r"^\.It (Fl .*)$", section("OPTIONS"), re.M)
    in_page = [re.match(r"Fl (\w)?(?: , )?((?:-[\w-]+(?: , )?)*)", item) for item in items]
    assert {found[1] for found in in_page} - {None} == short
    names = {name for found in in_page for name in re.findall(r"(?<!\w)-([\w-]+)", found[2])}
    assert names == long_names | {"acl-cmd"}
    synopsis = section("SYNOPSIS")
    # A short one where there is one: "-p", "-den".
    missing = [name for letter, name in re.findall(r"^  (?:-(\w), |    )--([\w-]+)", help_text.text(), re.M)
               if not re.search(rf"Fl -{name}\b(?!-)|\| -{name}\b(?!-)" if not letter
                                else rf"Fl \w*{letter}\w*\b|\| {letter}\b", synopsis)]
    assert not missing, f"not in the SYNOPSIS: {missing}"


def test_ranges():
    "the ranges and defaults that the page gives are the program's"
    help_text = Proc([program(), "--help"])
    help_text.wait()
    found = re.findall(r"^\.It Fl -([\w-]+) Ar \w+\n(?:(?!^\.It).*\n)*?Range (\d+) to (\d+), default ([\w ]+)\.$",
                       section("OPTIONS"), re.M)
    assert len(found) == 13, found
    for name, low, high, default in found:
        for value in (int(low) - 1, int(high) + 1):
            process = Proc([program(), f"--{name}", str(value), "-p", "192.0.2.1"])
            assert process.wait() == 1
            assert f"must be {low} to {high}" in process.text(), process.text()
        assert re.search(rf"--{name} .*\({default}\)$", help_text.text(), re.M), name


def test_configuration_file_options():
    "the file takes each option of the page but those that it excepts"
    items = re.findall(r"^\.It (Fl .*)$", section("OPTIONS"), re.M)
    excepted = {"check", "config", "doctor", "doctor-call", "end", "explain", "help", "json", "ready-fd", "show", "tap", "version", "watch"}
    with Machine() as machine:
        for item in items:
            for name in re.findall(r"(?:Fl|,) -([\w-]+)", item):
                (machine.etc / "conf").write_text(f"{name}\n")
                process = Proc([program(), "-c", "/etc/conf", "--check", "-p", "192.0.2.1"], room=machine)
                process.wait()
                taken = "needs a value" in process.text() or process.text() == "OK\n"
                assert taken == (name not in excepted), process.text()
                assert taken or "command line only" in process.text(), process.text()


def test_readme():
    "the command lines of README.md are those of the page"
    known = [words for title in TRIED for words in commands(title)]
    lines = [line for block in readme() for line in block.replace("\\\n", " ").splitlines()]
    found = [shlex.split(line)[1:] for line in lines if line.startswith("pptpproxy -")]
    assert found, "README.md has no command line"
    assert all(words in known for words in found), [words for words in found if words not in known]


def code(document):
    """A document's code without its comments: the lines of its displays, and what stands in the text as such."""
    text = (ROOT / document).read_text()
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.M | re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```[^\n]*\n.*?^```", "", text, flags=re.M | re.S))
    return [re.sub(r"\s+#.*", "", one) for one in lines + spans]


def shell(document):
    """The words of those of its lines that start something, each without its sudo and its variables."""
    found = []
    for command in (part for line in code(document) for part in re.split(r" && |; ", line)):
        if re.match(r"sudo |\./|make( |$)|[\w/]+/\w[\w.]* \S", command):
            words = shlex.split(command)
            while words[0] == "sudo" or "=" in words[0]:
                words = words[1:]
            found.append(words)
    return found


def test_documents_commands():
    "what README.md and HACKING.md tell to start can be started: scripts, make's targets, their words"
    ours = [(document, words) for document in ("README.md", "HACKING.md") for words in shell(document)]
    scripts = [words for _, words in ours if "/" in words[0] and not words[0].startswith("build/")]
    for name in ("./tools/demo", "./tools/check", "./tools/deps", "tests/fuzz/run"):
        assert any(words[0] == name for words in scripts), f"nobody tells of {name}"
    for name, *words in scripts:
        assert os.access(ROOT / name, os.X_OK), f"{name} cannot be started"
        if name == "./tools/demo" and words and words not in (["stay"], ["broken"]):  # test_demo.py has these
            process = Proc([program(), *words, "--help"])
            assert process.wait() == 0, process.text()
        if name == "./tools/deps" and words:
            assert re.search(rf"\b{words[0]}\b", (ROOT / name).read_text()), words
        if name == "./tools/check":
            assert all(list(ROOT.glob(f"tests/net/test_*{word}*.py")) for word in words), words
        if name == "tests/fuzz/run":
            assert all((ROOT / f"tests/fuzz/fuzz_{word}.c").exists() for word in words[1:]), words
    targets = {word for _, words in ours if words[0] == "make" for word in words[1:] if "=" not in word}
    assert {"install", "check", "asan", "fuzzers"} <= targets, targets
    for target in sorted(targets):
        process = Proc(["make", "-n", target], cwd=ROOT)
        assert process.wait(30) == 0, process.text()


def test_documents_files():
    "the files and directories that README.md, HACKING.md, ARCHITECTURE.md and SECURITY.md name are there"
    for document in ("README.md", "HACKING.md", "ARCHITECTURE.md", "SECURITY.md"):
        names = [name for one in code(document) for name in re.findall(
            rf"(?<![\w./])(?:\./)?((?:tools|tests|packaging|man|{FOLDERS})/[\w./-]*|[A-Z]+\.md|LICENSE)(?![\w/*\[])", one)]
        assert len(names) > 3, names
        missing = [name for name in names if not (ROOT / name).exists() and not (ROOT / f"{name}.h").exists()]
        assert not missing, f"{document}: {missing}"


def test_readme_daemontools():
    "README.md's lines for daemontools lead to a service directory where svscan looks, whose options are one line"
    need()
    [lines] = [block for block in readme() if "packaging/daemontools" in block]
    with Machine() as machine:
        (machine.etc / "service").mkdir()
        edited = machine.directory / "edited"
        editor = machine.directory / "editor"
        editor.write_text(f'#!/bin/sh\ngrep -c "^set -- -p" "$1" >{edited}\n')
        editor.chmod(0o755)
        process = Proc(["sh", "-eu", "-c", lines], room=machine, cwd=ROOT,
                       env={"PATH": f"{machine.directory}:{os.environ['PATH']}"})
        assert process.wait(30) == 0, process.text()
        assert edited.read_text() == "1\n"
        link = machine.etc / "service/pptpproxy"
        assert os.readlink(link) == "/etc/pptpproxy/service"
        for name in ("run", "log/run"):
            file = machine.etc / "pptpproxy/service" / name
            assert file.read_text() == (ROOT / "packaging/daemontools" / name).read_text()
            assert os.access(file, os.X_OK), name


def sources():
    patterns = ["*.[ch]", *(f"{folder}/*.[ch]" for folder in FOLDERS.split("|"))]
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def test_architecture():
    "the files and constants that ARCHITECTURE.md names exist, and it names each file of the root, and of the rooms it draws"
    text = (ROOT / "ARCHITECTURE.md").read_text()
    words = set(re.findall(r"\w+", "".join(path.read_text() for path in sources())))
    named = set(re.findall(r"`(?:struct )?([A-Z_]{3,}|[a-z]+_[a-z_]+)`", text))
    assert len(named) > 20
    strange = named - words - {path.stem for path in sources()}
    assert not strange, strange
    difference = set(re.findall(r"`(\w+)\.(?:\[ch\]|c)`", text)) ^ {path.stem for path in ROOT.glob("*.[ch]")}
    assert not difference, difference
    rooms = {path.relative_to(ROOT) for folder in ("host", "acl", "callid", "snoop", "control", "gre", "options", "keeper", "doctor", "explain", "capture", "worker") for path in (ROOT / folder).glob("*.h")}
    missing = [str(room) for room in rooms if not re.search(rf"`{room.with_suffix('')}\.(\[ch\]|h)`", text)]
    assert not missing, missing


def bounds():
    """The values of the sources' constants; a name may be one in several files."""
    text = "".join(path.read_text() for path in sources())
    found = {}
    text = re.sub(r"#define (\w+) \(\(size_t\)(.*)\)", r"\1 = \2", text)
    for name, value in re.findall(r"\b([A-Z][A-Z_]+)\s*=\s*(\d+(?: (?:\*|<<) \d+)*)\b", text):
        found.setdefault(name, set()).add(eval(value))  # digits, spaces, * and < only
    return found


def written(value):
    """As the table may have it, with its unit."""
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1000}
    return {f"{value:,}", *(f"{value / size:g} {unit}" for unit, size in units.items())}


def test_bounds():
    "the bounds that ARCHITECTURE.md gives are the sources' constants"
    known = bounds()
    rows = re.findall(r"^\| ([^|]*) \| ([^|]*) \| (`[A-Z][^|]*`) \|$", (ROOT / "ARCHITECTURE.md").read_text(), re.M)
    assert len(rows) > 15
    for what, bound, cell in rows:
        names = re.findall(r"`(\w+)`", cell)
        if "` x `" in cell:
            [one], [other] = (known[name] for name in names)
            values = [{one * other}]
        else:
            values = [known[name] for name in names]
        for some in values:
            assert any(text in bound for value in some for text in written(value)), f"{what}: {bound}: {cell} is {some}"


if __name__ == "__main__":
    tap.main()
