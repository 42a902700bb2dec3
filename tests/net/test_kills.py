#!/usr/bin/python3
"""Workers killed at random moments of a storm of calls, and upgrades under load: what both ends hold on to goes on."""

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import figures, tap, turmoil, watch
from lab.crowd import Crowd
from lab.errors import LabTimeout
from lab.fake import PATIENCE, Gre, World
from lab.proc import wait_until
from lab.tools import gre_send
from lab.turmoil import Installed

KILLS = 200
AT_ONCE = 10  # so many deaths in a row are replaced at once
UPGRADES = 20
SEED = int(os.environ.get("PPTPPROXY_TEST_SEED", time.time_ns() % 1000000))


class Killer:
    """Kills the worker again and again while the crowd storms."""

    def __init__(self, world, crowd, rng):
        self.world, self.crowd, self.random = world, crowd, rng
        self.kills = self.newborn = self.upgrades = self.held = 0

    def kill(self):
        """At a moment within the first 50 ms of a storm, or while the next worker is being born."""
        self.crowd.run(self.random.uniform(0, 0.05))
        worker = watch.worker(self.world.proxy.pid)
        while worker is None:
            self.crowd.run(0.001)
            worker = watch.worker(self.world.proxy.pid)
        mark = self.world.log.mark()
        self.held += len(self.crowd.open_calls())
        os.kill(worker, signal.SIGKILL)
        self.kills += 1
        self._wait(turmoil.DIED.format(worker), mark)
        self._wait(turmoil.GOES_ON, mark)

    def kill_newborn(self):
        """One that lives, and then its successor before that is ready."""
        worker = watch.worker(self.world.proxy.pid)
        mark = self.world.log.mark()
        os.kill(worker, signal.SIGKILL)
        self.crowd.run(0)
        next_ = wait_until(lambda: self._other(worker), 10 * tap.slowdown(), "a successor")
        if self.random.random() < 0.7:
            self.crowd.run(self.random.uniform(0, 0.01))
        os.kill(next_, signal.SIGKILL)
        self.kills += 2
        self.newborn += 1
        self._wait(turmoil.DIED.format(next_), mark)
        self._wait(turmoil.GOES_ON, mark)

    def _other(self, worker):
        pid = watch.worker(self.world.proxy.pid)
        return pid if pid != worker else None

    def _wait(self, pattern, mark):
        """The crowd goes on meanwhile."""
        deadline = time.monotonic() + 15 * tap.slowdown()
        while not self.world.log.matching(pattern, after=mark):
            assert time.monotonic() < deadline, f"no /{pattern}/: {self.world.log.tail()}"
            self.crowd.run(0.002)

    def upgrade(self):
        """The new keeper has no deaths to count. The ends are quiet: so many calls as they know go on."""
        self.crowd.settle()
        line = turmoil.upgrade(self.world.proxy)
        calls = int(line[4])
        assert calls == len(self.crowd.open_calls()), f"{calls} calls go on, the ends know {len(self.crowd.open_calls())}"
        self.upgrades += 1


@tap.deadline(300)
def test_kills_in_a_storm():
    "the worker killed 200 times in a storm of set-ups, calls and clears: calls that both ends hold go on, messages and IDs are right"
    tap.comment(f"seed {SEED}: PPTPPROXY_TEST_SEED={SEED} for the same again")
    rng = random.Random(SEED)
    with Installed() as installed, installed.in_use(), World(clients=2, servers=2, debug=False) as world:
        with Crowd(world, SEED, sessions=40) as crowd:
            killer = Killer(world, crowd, rng)
            checked = 0
            crowd.run(0.3)
            while killer.kills < KILLS:
                for _ in range(AT_ONCE - 2):
                    killer.kill()
                    if rng.random() < 0.3:
                        crowd.settle()
                        checked += crowd.check_calls()
                if rng.random() < 0.5:
                    killer.kill_newborn()
                killer.upgrade()
                checked += crowd.check_calls()
            assert killer.held > 20 * killer.kills and killer.newborn, "not much of a storm"
    # Outside, so that they tell of the program, not of its copy.
    figures.tell("kills", kills=killer.kills, newborn=killer.newborn, upgrades=killer.upgrades, calls_held=killer.held,
                 calls_opened=crowd.opened, messages=crowd.said, packets_sent=2 * checked, packets_arrived=2 * checked,
                 connections_lost=crowd.lost_connections)



# ---- upgrades ----


class Flow:
    """A steady source of numbered packets of one call and direction, and what arrives at the other end."""

    RATE = int(1000 / tap.slowdown())  # a second: the proxy's socket holds what comes between two workers, some ten thousand

    def __init__(self, source, destination, to, shown, own):
        self.source, self.to, self.shown, self.own = source, to, shown, own
        self.sent, self.done = 0, threading.Event()
        self.sink = Gre(destination)  # beside the crowd's: each of a host's sockets gets every packet
        self.came = []
        self.threads = [threading.Thread(target=self._send), threading.Thread(target=self._count)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        while not self.done.is_set():
            self.sent += gre_send(self.source, "-s", self.source.ip, "-d", self.to, "-c", self.shown, "-q", self.sent + 1,
                                  "-l", 100, "-r", self.RATE, "-n", self.RATE // 2)

    def _all_sent(self):
        return self.done.is_set() and not self.threads[0].is_alive()

    def _count(self):
        last = time.monotonic()
        while not self._all_sent() or len(self.came) < self.sent:
            try:
                packet = self.sink.receive(0.2)
                last = time.monotonic()
            except LabTimeout:
                if self._all_sent() and time.monotonic() - last > PATIENCE:
                    return
                continue
            if packet.call_id == self.own and len(packet.payload) == 100:
                self.came.append(packet.seq)

    def stop(self):
        self.done.set()
        for thread in self.threads:
            thread.join()
        self.sink.close()

    def check(self):
        assert len(self.came) == len(set(self.came)), f"{len(self.came) - len(set(self.came))} packets came twice"
        missing = set(range(1, self.sent + 1)) - set(self.came)
        assert not missing, f"{len(missing)} of {self.sent} packets are lost: {sorted(missing)[:10]}"
        assert self.came == sorted(self.came), "some overtook others"


def let_catch_up(flows, crowd):
    """Until what was sent so far has come, or does not come: the proxy's socket holds what waits for one upgrade, not for all."""
    due = [flow.sent for flow in flows]
    deadline = time.monotonic() + PATIENCE
    while any(len(flow.came) < count for flow, count in zip(flows, due)) and time.monotonic() < deadline:
        crowd.run(0.02)
    crowd.run(0.1)


@tap.deadline(200)
def test_upgrades_under_load():
    "20 upgrades while packets flow steadily and calls come and go: no packet is lost, doubled or overtaken, no message either"
    tap.comment(f"seed {SEED}: PPTPPROXY_TEST_SEED={SEED} for the same again")
    with Installed() as installed, installed.in_use(), World(clients=2, servers=2, debug=False) as world:
        session = world.session()
        call = session.call(5, 7)
        client, server, net = world.net.client, world.net.server, world.net
        # Few packets of its own: while nobody reads, the proxy's socket holds some thousands.
        with Crowd(world, SEED, sessions=20, packets=0.02) as crowd:
            crowd.run(0.3)
            flows = []
            try:
                flows.append(Flow(client, server, net.inside, call.client_sees, 7))
                flows.append(Flow(server, client, net.outside, call.server_sees, 5))
                held = 0
                for number in range(UPGRADES):
                    held += len(crowd.open_calls())
                    mark = world.log.mark()
                    installed.replace(installed.octets)
                    world.proxy.proc.signal(signal.SIGUSR2)
                    deadline = time.monotonic() + 15 * tap.slowdown()
                    while not world.log.matching(turmoil.UPGRADED, after=mark):
                        assert time.monotonic() < deadline, (number, world.log.matching("upgrade|worker|error", after=mark))
                        crowd.run(0.005)
                    let_catch_up(flows, crowd)
                crowd.settle()
                calls = crowd.check_calls()
            finally:
                for flow in flows:
                    flow.stop()
            for flow in flows:
                flow.check()
            session.check()
            assert calls > 20, "not much of a load"
    sent, arrived = sum(flow.sent for flow in flows), sum(len(flow.came) for flow in flows)
    figures.tell("upgrades", upgrades=UPGRADES, calls_held=held + UPGRADES, calls_opened=crowd.opened, messages=crowd.said,
                 packets_sent=sent + 2 * calls, packets_arrived=arrived + 2 * calls)


if __name__ == "__main__":
    tap.main()
