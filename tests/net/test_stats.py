#!/usr/bin/python3
"""--stats: what page, JSON and metrics say of calls that the test made itself, packet by packet; who may ask, and how."""

import errno
import http.client
import json
import math
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import faults as fault_kinds
from lab import tap, turmoil, watch
from lab.browser import Browser
from lab.dns import Etc
from lab.fake import PATIENCE, World, wait_listening
from lab.faults import Faults
from lab.messages import ICRQ, OCRQ, SCCRQ, build
from lab.netns import need
from lab.proc import wait_until
from lab.proxy import ROOT, SANITIZED, Proxy, program
from test_ask import rows as shown

PORT = 8723
AT = f"127.0.0.1:{PORT}"
URL = f"http://{AT}/"
HEADERS = 32  # octets of IP and GRE before the payload, with a sequence number and no acknowledgement
SHORT = 1.0 * tap.slowdown()
CLIENTS_MAX = 16  # STATUS_HTTP_CLIENTS


def ask(ns, path, method="GET", host=AT, at="127.0.0.1", port=PORT, patience=PATIENCE, **headers):
    """The answer: .status, .headers, .text"""
    with ns:
        connection = http.client.HTTPConnection(at, port, timeout=patience)
        connection.connect()
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": host, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        answer.text = answer.read().decode()
        return answer
    finally:
        connection.close()


def figures(world, **where):
    answer = ask(world.net.firewall, "/calls.json", **where)
    assert answer.status == 200, (answer.status, answer.text)
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.text)


def metrics(world):
    """Samples by name and labels, as they stand."""
    text = ask(world.net.firewall, "/metrics").text
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def wait_figures(world, condition, what):
    return wait_until(lambda: (lambda all: all if condition(all) else None)(figures(world)), PATIENCE, what)


def traffic(call, up, down):
    """Packets with payloads of these lengths, each seen at the other end."""
    for seq, length in enumerate(up, 10):
        call.up(b"u" * length, seq=seq)
        call.expect_up(b"u" * length)
    for seq, length in enumerate(down, 10):
        call.down(b"d" * length, seq=seq)
        call.expect_down(b"d" * length)


def unreachable(world, port):
    """A connection by a pair whose server is not there."""
    stream = world.dial(port=port)
    stream.send(build(SCCRQ))
    stream.expect_end()


def connect(ns, octets, at="127.0.0.1", port=PORT):
    with ns:
        sock = socket.create_connection((at, port), timeout=PATIENCE)
    sock.sendall(octets)
    return sock


def read_all(sock):
    octets = b""
    while piece := sock.recv(65536):
        octets += piece
    sock.close()
    return octets


def paged(**more):
    return World(["--stats", AT], **more)


# ---- what it says ----


def test_json_is_what_happened():
    "calls.json has each call's addresses, IDs, packets and octets, each pair, each rule, and what was dropped or refused"
    pairs = ["0.0.0.0:1723,10.2.0.10", "0.0.0.0:1799,10.2.0.99"]
    with World(["--stats", AT, "-a", "10.1.0.10", "--connect-timeout", "1"], clients=2, pairs=pairs) as world:
        session = world.session()
        number = world.number(session.client)
        one, two = session.call(5, 7), session.call(6, 8)
        traffic(one, [100, 0, 1000], [50])
        traffic(one, [], [12])
        session.server_host.gre.send(session.server.remote[0], 9999, b"lost", 1)
        stranger = world.dial(client=1)
        stranger.expect_end()
        unreachable(world, 1799)
        all = wait_figures(world, lambda all: all["totals"]["packet_drops"]["no such call"] == 1
                           and all["calls"][0]["server"]["packets"] == 2, "the packets to be counted")
        calls = {call["client"]["id"]: call for call in all["calls"]}
        assert set(calls) == {5, 6}, calls
        first = calls[5]
        assert (first["call"], first["connection"], first["open"], first["caller"]) == (f"{number}:5", number, True, "client")
        assert first["age_ms"] < 60000 and not first["captured"]
        client, server = first["client"], first["server"]
        assert [client[key] for key in ("addr", "port", "proxy_addr", "id", "shown_id")] == [
            *session.client.local, world.net.inside, 5, one.client_sees], client
        assert [server[key] for key in ("addr", "port", "proxy_addr", "id", "shown_id")] == [
            *session.server.local, world.net.outside, 7, one.server_sees], server
        assert (client["packets"], client["octets"], client["drops"]) == (3, 3 * HEADERS + 1100, 0), client
        assert (server["packets"], server["octets"]) == (2, 2 * HEADERS + 50 + 12), server
        assert client["last_packet_ms"] < 60000 and not client["silent"]
        assert calls[6]["client"]["packets"] == 0 and calls[6]["client"]["last_packet_ms"] is None
        up, down = all["pairs"]
        assert (up["listen"], up["peer"], up["state"]) == ("0.0.0.0:1723", "10.2.0.10:1723", "up"), up
        assert (up["connections"], up["calls"], up["connected"], up["failed"]) == (1, 2, 1, 0), up
        assert up["last_error"] is None
        assert (down["state"], down["failed"]) == ("down", 1) and "10.2.0.99" in down["last_error"], down
        assert [(rule["rule"], rule["command"]) for rule in all["rules"]] == [("10.1.0.10", False)], all["rules"]
        totals = all["totals"]
        assert totals["refusals"]["acl"] == 1 and sum(totals["refusals"].values()) == 1, totals
        assert (totals["connections"], totals["calls"], totals["calls_opened"]) == (1, 2, 2), totals
        assert (totals["keeper_pid"], totals["worker_pid"]) == (world.proxy.pid, world.proxy.worker)


def test_metrics_are_what_happened():
    "the metrics have the same figures, and promtool finds nothing wrong with them"
    need("promtool")
    with World(["--stats", AT, "-a", "10.1.0.0/24", "-a", "10.1.0.0/24"]) as world:
        session = world.session()
        call = session.call(5, 7)
        traffic(call, [10, 20], [30])
        session.server_host.gre.send(session.server.remote[0], 9999, b"lost", 1)
        dropped = 'pptpproxy_packet_drops_total{reason="no such call"}'
        wait_until(lambda: metrics(world)[dropped] == "1", PATIENCE, "the lost packet to be counted")
        all = metrics(world)
        pair = '{pair="1",listen="0.0.0.0:1723",peer="10.2.0.10:1723"}'
        expected = {
            "pptpproxy_calls": "1",
            "pptpproxy_connections": "1",
            "pptpproxy_calls_opened_total": "1",
            "pptpproxy_packets_sent_total": "3",
            "pptpproxy_packets_received_total": "4",
            f"pptpproxy_pair_up{pair}": "1",
            f"pptpproxy_pair_calls{pair}": "1",
            "pptpproxy_workers_started_total": "1",
        }
        assert {name: all[name] for name in expected} == expected, all
        text = ask(world.net.firewall, "/metrics").text
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT)
        assert checked.returncode == 0 and not checked.stdout.strip(), checked.stdout
        started = float(all["pptpproxy_start_time_seconds"])
        assert abs(time.time() - started) < 120, started


def test_health():
    "/healthz says ok"
    with paged() as world:
        answer = ask(world.net.firewall, "/healthz")
        assert (answer.status, answer.text) == (200, "ok\n")


# ---- in a browser ----


def rows_of(page, table="calls"):
    return [row for row in page.tables()[table] if len(row) > 1]


def seen(page):
    """What the page's calls say: name, both ends with their IDs, packets."""
    return [(row["Call"]["parts"][0], row["Client"]["text"], row["Server"]["text"],
             row["Packets from the client"]["parts"][0], row["Packets from the server"]["parts"][0],
             row["Octets from the client"]["text"]) for row in rows_of(page)]


def told(octets):
    if octets < 1024:
        return f"{octets} B"
    hundredths = octets * 100 // 1024
    return f"{hundredths / 100:.2f} KiB" if octets < 10240 else f"{hundredths // 10 / 10:.1f} KiB"


def expected(all):
    return [(call["call"], "{addr}:{port} ID {id}, sees {shown_id}".format(**call["client"]),
             "{addr}:{port} ID {id}, sees {shown_id}".format(**call["server"]),
             f"{call['client']['packets']:,}", f"{call['server']['packets']:,}", told(call["client"]["octets"]))
            for call in all["calls"]]


def test_page_with_and_without_script():
    "the page shows the calls that there are, the same without its script and with it, in the words of --show"
    with World(["--stats", AT, "-a", "10.1.0.0/24"]) as world, Browser(world.net.firewall) as browser:
        session = world.session()
        one, two = session.call(5, 7), session.call(6, 8)
        traffic(one, [100] * 3, [200] * 2)
        traffic(two, [1000] * 5, [])
        session.server_host.gre.send(session.server.remote[0], 9999, b"lost", 1)
        all = wait_figures(world, lambda all: all["totals"]["packet_drops"]["no such call"] == 1, "the packets to be counted")
        assert [call["client"]["packets"] for call in all["calls"]] == [3, 5]
        plain = browser.open(URL, javaScriptEnabled=False)
        live = browser.open(URL)
        live.wait("document.documentElement.classList.contains('with-script')")
        assert seen(plain) == expected(all), (seen(plain), expected(all))
        assert seen(live) == expected(all), seen(live)
        for page in (plain, live):
            tables = page.tables()
            [pair] = tables["pairs"]
            assert [cell["text"] for cell in pair.values()] == [
                "0.0.0.0:1723", "10.2.0.10:1723", "up", "1", "2", "1", "1", "0", "none"], pair
            drops = {row["0"]["parts"][0]: row["1"]["text"] for row in tables["packet_drops"]}
            assert drops == {name: str(n) for name, n in all["totals"]["packet_drops"].items()}, drops
            assert [cell["text"] for cell in tables["rules"][0].values()][:2] == ["10.1.0.0/24", "address"]
        texts = [[[cell["text"] for label, cell in row.items() if label not in ("2", "Kind")] for row in
                  page.tables()[table]] for page in (plain, live) for table in ("refusals", "ends", "message_drops")]
        assert texts[:3] == texts[3:], texts
        words = [[(row["CLIENT SENT"], row["SERVER SENT"]) for row in shown(world, "calls")],
                 *([(row["Octets from the client"]["text"], row["Octets from the server"]["text"]) for row in rows_of(page)]
                   for page in (plain, live))]
        assert words[0] == words[1] == words[2] and words[0][1] == ("5.03 KiB", "0 B"), words
        assert "Rate from the client" not in rows_of(plain)[0] and "Rate from the client" in rows_of(live)[0]


def test_page_lives():
    "the page follows: packets, a new call, one that is being set up, an end, none"
    with paged() as world, Browser(world.net.firewall) as browser:
        page = browser.open(URL)
        page.wait("document.querySelector('#calls .none')?.innerText === 'No calls.'")
        session = world.session()
        one = session.call(5, 7)
        page.wait_rows("calls", 1)
        traffic(one, [100] * 40, [100] * 3)
        page.wait("document.querySelector('#calls tbody td:nth-child(5) span').innerText === '40'")
        page.wait("document.querySelector('#calls polyline.client').getAttribute('points').includes(' ')")
        session.client.send(build(OCRQ, call_id=6))
        session.server.expect(OCRQ)
        page.wait_rows("calls", 2)
        row = rows_of(page)[1]
        assert row["Call"]["text"].endswith("being set up") and row["Server"]["text"].startswith("10.2.0.10:1723 ID not known yet"), row
        one.clear()
        page.wait_rows("calls", 1)
        session.close()
        page.wait("document.querySelector('#calls .none')?.innerText === 'No calls.'")


def test_page_sorts_and_filters():
    "a click on a head sorts, another turns it round, a third undoes it; the filter leaves what matches; both stay in the address"
    with paged(clients=3) as world, Browser(world.net.firewall) as browser:
        for client, packets in ((0, 2), (1, 3), (2, 1)):
            call = world.session(client=client).call(61010 + client, 20 + client)  # no port is as high: see the filter
            traffic(call, [50] * packets, [])
        page = browser.open(URL)
        page.wait_rows("calls", 3)

        def order():
            return page.column("calls", "Packets from the client")

        def sorted_as():
            return page.evaluate("document.querySelector('#calls th[aria-sort]')?.getAttribute('aria-sort') ?? null")

        head = "#calls th[data-column=client_packets] button"
        assert (order(), sorted_as()) == (["2", "3", "1"], None)
        page.click(head)
        assert (order(), sorted_as()) == (["3", "2", "1"], "descending"), order()
        page.click(head)
        assert (order(), sorted_as()) == (["1", "2", "3"], "ascending")
        page.fill("#filter", "10.1.0.12")
        assert order() == ["1"] and page.text("#shown") == "1 of 3 calls", page.text("#shown")
        page.fill("#filter", "id 61011")
        assert order() == ["3"]
        page.fill("#filter", "nothing like it")
        assert page.text("#calls tbody") == "No calls like these."
        page.fill("#filter", "10.1.0.1")
        assert order() == ["1", "2", "3"] and page.text("#shown") == "3 calls"
        address = page.evaluate("location.hash")
        again = browser.open(URL + address)
        again.wait("document.querySelector('#calls th[aria-sort]')")  # the server has its own order
        assert again.column("calls", "Packets from the client") == ["1", "2", "3"]
        page.click(head)
        assert (order(), sorted_as()) == (["2", "3", "1"], None)


def test_page_pauses_and_tells_of_silence():
    "Pause stops the figures; without an answer the page says of when they are, and goes on by itself"
    with paged() as world, Browser(world.net.firewall) as browser:
        session = world.session()
        call = session.call(5, 7)
        page = browser.open(URL)
        page.wait_rows("calls", 1)
        page.click("#pause")
        assert page.text("#pause") == "Go on"
        call.clear()
        other = browser.open(URL)
        other.wait("document.querySelector('#calls .none')")
        for _ in range(2):  # so often it has been refreshed, and the one that is paused would have been
            when = other.text("#when")
            other.wait(f"document.getElementById('when').innerText !== '{when}'")
        other.close()
        assert len(rows_of(page)) == 1
        page.click("#pause")
        page.wait("document.querySelector('#calls .none')")
        world.proxy.proc.stop()
        page.wait("!document.getElementById('lost').hidden", complaints=["Failed to load resource"])
        lost = page.evaluate("document.getElementById('lost').innerText")
        assert re.search(r"^No answer \(.*\): the figures are those of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\.", lost), lost
        again = Proxy(world.net.firewall, ["-p", world.server.ip, "--stats", AT])
        with again:
            page.wait("document.getElementById('lost').hidden", complaints=["Failed to load resource"])


def test_silent_direction_is_marked():
    "a call whose server sends and whose client does not is marked in JSON, metrics and page, and found by that word"
    with paged() as world, Browser(world.net.firewall) as browser:
        session = world.session()
        call, fine = session.call(5, 7), session.call(6, 8)
        traffic(fine, [10], [10])

        def silent():
            traffic(call, [], [10])
            traffic(fine, [10], [10])
            return figures(world)["calls"][0]["client"]["silent"]

        wait_until(silent, 30 * tap.slowdown(), "the silence to be seen")
        [one, two] = figures(world)["calls"]
        assert not one["server"]["silent"] and not two["client"]["silent"] and not two["server"]["silent"]
        assert metrics(world)['pptpproxy_calls_silent{side="client"}'] == "1"
        page = browser.open(URL)
        page.wait_rows("calls", 2)
        row = rows_of(page)[0]
        assert row["Last from the client"]["text"] == "silent, never", row["Last from the client"]
        assert "silent" in row["Last from the client"]["classes"].split()
        page.fill("#filter", "silent")
        assert [row["Call"]["parts"][0] for row in rows_of(page)] == [one["call"]]


def test_page_has_each_call_without_a_client_id():
    "two calls of one connection that wait for their client's Reply are two rows"
    with World(["--stats", AT]) as world, Browser(world.net.firewall) as browser:
        session = world.session()
        page = browser.open(URL)
        page.wait("document.documentElement.classList.contains('with-script')")
        session.server.send(build(ICRQ, call_id=11), build(ICRQ, call_id=12))
        for _ in range(2):
            session.client.expect(ICRQ)
        page.wait_rows("calls", 2)


def test_page_in_the_dark_and_on_a_phone():
    "dark and narrow screens have all figures in sight, without a scroll to the side; pictures are in build/shots"
    with World(["--stats", AT, "-a", "10.1.0.0/24"], clients=3) as world, Browser(world.net.firewall) as browser:
        for client in range(3):
            traffic(world.session(client=client).call(10 + client, 20 + client), [500] * (client + 1), [900])
        phone = {"viewport": {"width": 390, "height": 844}, "deviceScaleFactor": 2}
        for name, options in (("phone", phone), ("dark", {"colorScheme": "dark"}), ("dark-phone", {**phone, "colorScheme": "dark"}),
                              ("plain", {"javaScriptEnabled": False})):
            page = browser.open(URL, **options)
            if options.get("javaScriptEnabled", True):
                page.wait("document.documentElement.classList.contains('with-script')")
                page.wait_rows("calls", 3)
            wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider <= 0, f"{name}: {wider} pixels too wide"
            lines = page.evaluate("document.querySelector('#rules td span').getClientRects().length")
            assert lines == 1, f"{name}: an address rule in {lines} pieces"
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (max(map(int, re.findall(r"\d+", paper)[:3])) < 60) == ("dark" in name), (name, paper)
            page.shot(name)
            page.close()


def test_page_of_many_calls():
    "of 600 calls the page shows 500 with its script and all without it, says so, and finds any of them"
    with paged() as world, Browser(world.net.firewall) as browser:
        session = world.session()
        for number in range(600):
            session.call(1000 + number, 3000 + number, settle=False)
        page, plain = browser.open(URL), browser.open(URL, javaScriptEnabled=False)
        page.wait("document.documentElement.classList.contains('with-script')")
        page.wait_rows("calls", 500)
        assert page.text("#shown") == "600 calls; the first 500 are shown", page.text("#shown")
        assert len(plain.tables()["calls"]) == 600
        page.fill("#filter", "1:1599")
        assert page.column("calls", "Call") == ["1:1599"] and page.text("#shown") == "1 of 600 calls"
        page.fill("#filter", "")
        page.click("#calls th[data-column=call] button")
        page.click("#calls th[data-column=call] button")
        assert page.column("calls", "Call")[0] == "1:1599"


# ---- the manual ----


def manual(title):
    page = (ROOT / "man/pptpproxy.8").read_text()
    return re.search(rf"^\.Ss {re.escape(title)}\n(.*?)^\.S[hs] ", page, re.M | re.S)[1]


def keys(value):
    """Each name in the JSON, but for reasons."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if isinstance(value, dict):
        return set(value) | set().union(
            *(keys(one) for name, one in value.items() if name not in ("packet_drops", "message_drops", "refusals", "ends")))
    return set()


def test_manual_has_each_name():
    "the manual has each field of calls.json and each metric, and no others"
    with World(["--stats", AT, "-a", "10.1.0.0/24", "-x", "/bin/true"]) as world:
        world.session().call(5, 7)
        fields = keys(figures(world))
        told = set(re.findall(r"\b[a-z_]+\b", " ".join(re.findall(r"^\.It Li (.*)$", manual("/calls.json"), re.M))))
        assert fields == told, fields ^ told
        names = {re.split(r"[{ ]", line)[0] for line in metrics(world)}
        told = set(re.findall(r"\bpptpproxy_\w+", manual("/metrics")))
        assert names == told, names ^ told


# ---- who may ask, and how ----


def test_what_is_refused():
    "other methods, other paths and foreign hosts are refused, and change nothing"
    with paged() as world:
        session = world.session()
        session.call(5, 7).check()
        ns = world.net.firewall
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"):
            answer = ask(ns, "/calls.json", method=method)
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD"), (method, answer.status)
        head = ask(ns, "/calls.json", method="HEAD")
        assert head.status == 200 and head.text == "" and int(head.headers["Content-Length"]) > 100
        for path in ("/end", "/calls", "/../etc/passwd", "/page.html"):
            assert ask(ns, path).status == 404, path
        for host in ("evil.example", "evil.example:8723", f"{AT}.evil.example", "[::1"):
            assert ask(ns, "/calls.json", host=host).status == 403, host
        for host in (AT, "127.0.0.1", "localhost:8723", "localhost", "[::1]:8723", "192.0.2.7:80"):
            assert ask(ns, "/calls.json", host=host).status == 200, host
        page = ask(ns, "/")
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert [page.headers[name] for name in ("X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cache-Control")] == [
            "nosniff", "DENY", "no-referrer", "no-store"]
        session.call(6, 8).check()


def test_slow_huge_and_many():
    "who sends slowly, too much or nothing, or comes in numbers, keeps neither others nor calls from going on"
    with paged() as world:
        session = world.session()
        call = session.call(5, 7)
        ns, worker = world.net.firewall, world.proxy.worker
        before = watch.descriptors(worker)
        with ExitStack() as stack:
            idle = [stack.enter_context(connect(ns, b"GET / HT")) for _ in range(3 * CLIENTS_MAX)]
            assert ask(ns, "/healthz").status == 200
            assert ended(idle[0]) and not ended(idle[-1])
            assert watch.descriptors(worker) <= before + CLIENTS_MAX
            call.check()
            huge = connect(ns, b"GET / HTTP/1.1\r\nX: " + b"x" * 8192)
            assert read_all(huge).startswith(b"HTTP/1.1 400 ")
            many = connect(ns, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 50)
            assert read_all(many).count(b"HTTP/1.1") == 1
            rubbish = connect(ns, bytes(range(256)) * 8 + b"\r\n\r\n")
            assert read_all(rubbish).startswith(b"HTTP/1.1 400 ")
            call.check()
            wait_until(lambda: ended(idle[-1]), 30 * tap.slowdown(), "the last idle client to be put out")
        wait_until(lambda: watch.descriptors(worker) <= before, PATIENCE, "the descriptors to be closed")
        call.check()
        assert world.proxy.worker == worker


def asked_with_a_fault(world, label, patience):
    """Was there an answer? It must be a right one."""
    try:
        answer = ask(world.net.firewall, "/calls.json", patience=patience)
    except (OSError, http.client.HTTPException):
        return False
    assert answer.status in (200, 400, 500, 503) and (answer.status != 200 or json.loads(answer.text)["calls"]), label
    return True


def each_fault(world, faults, kind, error):
    """A request during which the nth call of a kind fails, for each n: it may be lost, and where memory lacks the worker with it
    (evhttp's fault); never a call."""
    before = watch.descriptors(world.proxy.worker)
    nth, hit = 0, True
    while hit:
        nth += 1
        assert nth < 200
        label = f"{fault_kinds.NAMES[kind]} {nth}: {errno.errorcode[error]}"
        worker, mark = world.proxy.worker, world.log.mark()
        for patience in (SHORT, PATIENCE):  # the second only for a request that nothing but a busy machine held up
            faults.arm(kind, nth, error, pid=worker)
            answered = asked_with_a_fault(world, label, patience)
            hit = faults.hit()
            faults.disarm()
            if answered or hit:
                break
        assert answered or hit, f"{label}: nothing failed, but the request"
        if kind == fault_kinds.MEMORY and watch.worker(world.proxy.pid) != worker:
            world.log.wait(turmoil.GOES_ON, PATIENCE, after=mark)
        else:
            assert watch.worker(world.proxy.pid) == worker, f"{label}: the worker died"
        assert ask(world.net.firewall, "/calls.json").status == 200, label
    wait_until(lambda: watch.descriptors(world.proxy.worker) <= before, 3 * PATIENCE, "the descriptors to be closed")
    tap.comment(f"{fault_kinds.NAMES[kind]}, {errno.errorcode[error]}: {nth - 1}")


def test_faults():
    "each allocation, accept and watching of a request fails in turn: calls go on, and the next request is answered"
    with Faults() as faults, paged(env=faults.env, debug=False) as world:
        call = world.session().call(5, 7)
        for kind, error in ((fault_kinds.ACCEPT, errno.EMFILE), (fault_kinds.ACCEPT, errno.ECONNABORTED),
                            (fault_kinds.EPOLL, errno.ENOMEM), (fault_kinds.MEMORY, errno.ENOMEM)):
            if kind == fault_kinds.MEMORY and SANITIZED.search(program().read_bytes()):
                continue  # it has an allocator of its own
            each_fault(world, faults, kind, error)
            call.check()


def ended(sock):
    """Without an answer."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_calls_go_on_meanwhile():
    "between a hundred requests for figures a call's packets and messages go on, and each is counted by the next one"
    with paged() as world:
        session = world.session()
        call = session.call(5, 7)
        for number in range(1, 101):
            call.check()
            session.check()
            wait_figures(world, lambda all: all["calls"][0]["client"]["packets"] == number, f"packet {number}")
        [one] = figures(world)["calls"]
        assert one["server"]["packets"] == 100 and one["client"]["drops"] + one["server"]["drops"] == 0, one


# ---- where it is ----


def test_outside_of_loopback_there_is_a_warning():
    "an address that is no loopback one works, with a warning; a loopback one without"
    warning = r"warning: status page on 10\.1\.0\.1:8723, which is no loopback address: whoever reaches it sees all calls"
    with World(["--stats", f"10.1.0.1:{PORT}"]) as world:
        world.log.wait(warning, PATIENCE)
        answer = ask(world.net.client, "/healthz", host="10.1.0.1:8723", at="10.1.0.1")
        assert answer.status == 200
    with paged() as world:
        world.log.wait(r"ready: ", PATIENCE)
        assert not world.log.matching(r"status page on")


def test_off_by_default():
    "without --stats nothing listens but the pairs"
    with World() as world:
        with world.net.firewall, open("/proc/thread-self/net/tcp") as table:
            listening = re.findall(r" [0-9A-F]{8}:([0-9A-F]{4}) 00000000:0000 0A", table.read())
        assert listening == ["06BB"], listening


def test_a_port_that_is_taken():
    "a port that another program has is one line and status 1"
    with World(proxy=False) as world:
        with world.net.firewall:
            other = socket.create_server(("127.0.0.1", PORT))
        with other:
            proxy = Proxy(world.net.firewall, ["-p", world.server.ip, "--stats", AT], ready=False)
            assert proxy.wait() == 1
            assert proxy.proc.log.matching(rf"listen on {AT}: Address already in use \(another program has the port\)")


def test_a_name_that_means_its_place():
    "a pair whose listen name is the page's address is refused at the start, and at a reload"
    with tempfile.TemporaryDirectory() as place, Etc(hosts="127.0.0.1 inside.example.test\n") as etc:
        file = Path(place) / "conf"
        pair = f"proxy inside.example.test:{PORT},10.2.0.10"
        file.write_text(f"{pair}\nstats {AT}\n")
        with World(["-c", str(file)], pairs=[], proxy=False, room=etc) as world:
            proxy = Proxy(world.net.firewall, ["-c", str(file)], ready=False, room=etc)
            assert proxy.wait() == 1
            assert proxy.proc.log.matching(f"status page on {AT}: a pair listens there")
            file.write_text(f"proxy 10.2.0.10\nstats {AT}\n")
            world.start()
            file.write_text(f"proxy 10.2.0.10\n{pair}\nstats {AT}\n")
            assert turmoil.refused_reload(world.proxy) == f"listen on inside.example.test:{PORT}: the status page is there so far: take it out first, then reload again"
            file.write_text(f"proxy 10.2.0.10\n{pair}\n")
            turmoil.reload(world.proxy)
            file.write_text(f"proxy 10.2.0.10\nstats {AT}\n")
            assert turmoil.refused_reload(world.proxy) == f"status page on {AT}: a pair listens there so far: take it out first, then reload again"
            world.session().call(5, 7).check()


def test_it_outlives_workers_and_upgrades():
    "a worker's death and an upgrade leave port, page and counts; what was counted goes on"
    with turmoil.Installed() as installed, installed.in_use(), paged() as world:
        session = world.session()
        call = session.call(5, 7)
        traffic(call, [100], [100])
        wait_figures(world, lambda all: all["calls"][0]["client"]["packets"] == 1, "the packet to be counted")
        turmoil.kill(world.proxy).over()
        all = figures(world)
        assert all["totals"]["workers"] == 2 and all["calls"][0]["client"]["packets"] == 1, all
        turmoil.upgrade(world.proxy)
        wait_until(lambda: watch.worker(world.proxy.pid), PATIENCE, "a worker")
        all = figures(world)
        assert all["totals"]["workers"] == 3 and all["calls"][0]["client"]["octets"] == HEADERS + 100, all
        call.check()


def test_a_reload_moves_it():
    "SIGHUP moves the page, takes it away and brings it back; where that cannot be all stays as it was"
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "conf"

        def write(*lines):
            file.write_text("\n".join(["proxy 10.2.0.10", *lines]) + "\n")

        write(f"stats {AT}")
        with World(["-c", str(file)], pairs=[]) as world:
            call = world.session().call(5, 7)
            assert ask(world.net.firewall, "/healthz").status == 200
            write("stats 127.0.0.1:8724")
            turmoil.reload(world.proxy)
            wait_listening(world.net.firewall, 8724)
            assert ask(world.net.firewall, "/healthz", port=8724).status == 200
            assert refused(world)
            write("stats 192.0.2.1:8724")
            assert "192.0.2.1:8724" in turmoil.refused_reload(world.proxy)
            assert ask(world.net.firewall, "/healthz", port=8724).status == 200
            write("stats 127.0.0.1:1723")
            assert "conflicts with a pair's listen address" in turmoil.refused_reload(world.proxy)
            write()
            turmoil.reload(world.proxy)
            assert refused(world, 8724)
            write(f"stats {AT}")
            turmoil.reload(world.proxy)
            assert figures(world)["calls"][0]["client"]["id"] == 5
            call.check()


def refused(world, port=PORT):
    try:
        connect(world.net.firewall, b"", port=port).close()
    except ConnectionRefusedError:
        return True
    return False


# ---- README's picture ----


def test_screenshot():
    "README's picture, build/shots/status.png: pairs up and down, calls in waves, a silent client"
    pairs = ["0.0.0.0:1723,10.2.0.10", "0.0.0.0:1724,10.2.0.99"]
    with World(["--stats", AT, "-a", "10.1.0.0/24", "--connect-timeout", "1"], clients=5, pairs=pairs) as world, \
            Browser(world.net.firewall) as browser:
        calls = [world.session(client=client).call(49750 + 7 * client, 300 + 11 * client) for client in range(5)]
        unreachable(world, 1724)
        page = browser.open(URL, viewport={"width": 1360, "height": 726})
        page.wait_rows("calls", 5)
        until = time.monotonic() + float(os.environ.get("PPTPPROXY_SHOT_SECONDS", 3))
        while (now := time.monotonic()) < until:
            for which, call in enumerate(calls):
                if math.sin(now / (2 + which)) + math.sin(now / (5 + which)) > random.uniform(-2, 2):
                    traffic(call, [200] if which != 3 else [], [random.choice((40, 700, 1400))])
        page.wait("document.querySelector('#calls polyline.server').getAttribute('points').includes(' ')")
        page.shot("status", whole=False)


if __name__ == "__main__":
    tap.main()
