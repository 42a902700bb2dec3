"""Rounds and what follows from them.

A group is one payload and one direction. Its rounds are short; in each, all systems with all numbers of calls take their
turn once, forward and backward alternately. On a machine with other work a single figure says little: systems are
compared by the median of the ratios within the rounds.
"""

import statistics
from collections import defaultdict

import systems


class Group:
    def __init__(self, payload, direction, count, cells):
        self.payload, self.direction, self.count, self.cells = payload, direction, count, cells
        self.rounds = []  # {(system's class, calls): systems.Round}

    def __str__(self):
        return (f"{self.payload}-octet payloads, "
                f"{'client to server' if self.direction == 'up' else 'server to client'}")

    def run(self, terms, progress):
        for number in range(self.count):
            measured = {}
            for system in self.cells[::-1 if number % 2 else 1]:
                progress(f"{self}: round {number + 1} of {self.count}: {system.name}, {system.calls} calls")
                measured[type(system), system.calls] = system.round(self.payload, self.direction, *terms)
            self.rounds.append(measured)

    def _of(self, system, calls):
        return [measured[system, calls] for measured in self.rounds if (system, calls) in measured]

    def rate(self, system, calls):
        """Packets a second that came right, or None."""
        rounds = self._of(system, calls)
        return statistics.median(r.rate for r in rounds) if rounds else None

    def delivered(self, system, calls):
        """The share of the packets sent that came, or None."""
        rounds = self._of(system, calls)
        return statistics.median(r.delivered for r in rounds) if rounds else None

    def cost(self, system, calls):
        """Nanoseconds of CPU time that a relay's process spent on each packet that came, or None."""
        costs = [r.cost for r in self._of(system, calls) if r.cost]
        return statistics.median(costs) if costs else None

    def ratio(self, one, other):
        """The median of one's rate by the other's in the same round, each a (system, calls); None if either is missing."""
        ratios = [measured[one].rate / measured[other].rate for measured in self.rounds
                  if one in measured and other in measured and measured[other].rate > 0]
        return statistics.median(ratios) if ratios else None


class Target:
    """text      what is compared
    one, other   (system, calls) each
    least        the ratio to be reached, or None where it is only of interest
    """

    def __init__(self, text, one, other, least):
        self.text, self.one, self.other, self.least = text, one, other, least

    def measured(self, group):
        return group.ratio(self.one, self.other)


def targets():
    fast, raw, naive, nat, redirect = systems.Fast, systems.Raw, systems.Naive, systems.Nat, systems.Redirect
    return [
        Target("fast path / XDP that only redirects, 1,000 calls", (fast, 1000), (redirect, 1000), 0.85),
        Target("fast path / XDP that only redirects, 10,000 calls", (fast, 10000), (redirect, 10000), 0.7),
        Target("fast path, 1,000 calls / Linux NAT, 1 call", (fast, 1000), (nat, 1), 5),
        Target("fast path / Linux NAT, 1,000 calls", (fast, 1000), (nat, 1000), 35),
        Target("its ceiling: XDP that only redirects / NAT, 1,000 calls", (redirect, 1000), (nat, 1000), None),
        Target("raw sockets / naive relay, 1,000 calls", (raw, 1000), (naive, 1000), 1),
        Target("raw sockets, 3,000 calls / 1 call", (raw, 3000), (raw, 1), 0.75),
    ]


def by_system(cells):
    """{system's class: [calls, ...]} in the order in which systems.ALL has them."""
    found = defaultdict(list)
    for system in systems.ALL:
        for cell in cells:
            if type(cell) is system:
                found[system].append(cell.calls)
    return {system: sorted(calls) for system, calls in found.items()}
