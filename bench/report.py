"""What a run says and leaves behind: tables, CSV files, a plot, the machine that it ran on."""

import csv
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import rounds
import systems

ROOT = Path(__file__).resolve().parents[1]
NAME_WIDTH, COLUMN_WIDTH = 28, 14


class Report:
    """Prints, and keeps what it printed."""

    def __init__(self, directory):
        self.directory = directory
        self.lines = []
        self.terminal = sys.stdout.isatty()
        directory.mkdir(parents=True, exist_ok=True)

    def say(self, text=""):
        if self.terminal:
            print("\r\033[K", end="")
        print(text, flush=True)
        self.lines.append(text)

    def progress(self, text):
        """A line that the next one overwrites; on a terminal only."""
        if self.terminal:
            print(f"\r\033[K{text}", end="", flush=True)

    def step(self, text):
        """Progress that is worth a line of its own where there is no terminal."""
        if self.terminal:
            self.progress(text)
        else:
            print(text, flush=True)

    def table(self, name, header, rows):
        with open(self.directory / name, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)

    def close(self):
        (self.directory / "summary.txt").write_text("".join(line + "\n" for line in self.lines))


def _first_line(*words):
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    except OSError:
        return "not there"
    return (done.stdout.splitlines() or [""])[0].strip()


def _from_file(path, pattern):
    found = re.search(pattern, Path(path).read_text(), re.M)
    return found[1].strip() if found else "unknown"


def machine(report):
    """The machine, the kernel and the versions of all that takes part."""
    memory = int(_from_file("/proc/meminfo", r"^MemTotal:\s+(\d+)")) // 1024
    report.say(f"machine    {os.cpu_count()} CPUs, {_from_file('/proc/cpuinfo', r'^model name.*: (.*)')}, {memory} MiB"
               + (", virtual" if "hypervisor" in _from_file("/proc/cpuinfo", r"^flags.*: (.*)") else ""))
    report.say(f"kernel     {platform.release()} {platform.version()}")
    report.say(f"load       {' '.join(f'{load:.2f}' for load in os.getloadavg())} before the run")
    report.say(f"program    pptpproxy {_first_line('./pptpproxy', '--version').split()[-1]}, "
               f"commit {_first_line('git', 'rev-parse', '--short', 'HEAD')}")
    report.say(f"compilers  {_first_line('gcc', '--version')}; {_first_line('clang', '--version')}")
    report.say(f"tools      {_first_line('haproxy', '-v')}; {_first_line('nft', '--version')}; "
               f"{_first_line('conntrack', '--version')}")
    report.say(f"CPUs       {systems.SOURCE_CPU}: source, kernel's forwarding, sink of frames (no threaded NAPI); "
               f"{systems.PROGRAM_CPU}: the relays' processes and what they send")


def show_group(report, group):
    """Systems down, numbers of calls across."""
    by_system = rounds.by_system(group.cells)
    columns = sorted({calls for each in by_system.values() for calls in each})
    report.say()
    report.say(f"{group}: millions of packets a second that came right, median of {group.count} rounds")
    report.say("(in parentheses the share of those sent, where it is less than all)")
    report.say("calls".ljust(NAME_WIDTH) + "".join(f"{calls:,}".rjust(COLUMN_WIDTH) for calls in columns))
    for system in by_system:
        cells = (_cell(group, system, calls) for calls in columns)
        report.say(system.name.ljust(NAME_WIDTH) + "".join(cell.rjust(COLUMN_WIDTH) for cell in cells))
    report.say("CPU time of the relay's process, nanoseconds a packet")
    for system in by_system:
        costs = [group.cost(system, calls) for calls in columns]
        if any(costs):
            report.say(system.name.ljust(NAME_WIDTH)
                       + "".join(f"{cost:.0f}".rjust(COLUMN_WIDTH) if cost else "-".rjust(COLUMN_WIDTH) for cost in costs))


def _cell(group, system, calls):
    rate, delivered = group.rate(system, calls), group.delivered(system, calls)
    if rate is None:
        return "-"
    digits = 2 if rate >= 1e6 else 3
    return f"{rate / 1e6:.{digits}f}" + (f" ({delivered:.0%})" if delivered < 0.995 else "")


def _whole(number):
    return "" if number is None else f"{number:.0f}"


def write_groups(report, groups):
    each, medians = [], []
    for group in groups:
        for number, measured in enumerate(group.rounds, 1):
            each += [(number, system.name, calls, group.payload, group.direction, f"{r.seconds:.6f}", r.sent, r.right)
                     for (system, calls), r in measured.items()]
        for system, counts in rounds.by_system(group.cells).items():
            medians += [(system.name, calls, group.payload, group.direction, f"{group.rate(system, calls) / 1e6:.4f}",
                         f"{group.delivered(system, calls):.4f}", _whole(group.cost(system, calls))) for calls in counts]
    report.table("rounds.csv", ("round", "system", "calls", "payload", "direction", "seconds", "sent", "right"), each)
    report.table("packets.csv", ("system", "calls", "payload", "direction", "mpps", "delivered", "cpu_ns"), medians)


def show_targets(report, results):
    """results: (text, measured ratio or None, least ratio or None)"""
    report.say()
    report.say("Targets, medians of paired rounds")
    rows = []
    for text, measured, least in results:
        verdict = ("not measured" if measured is None else "" if least is None
                   else "reached" if measured >= least else "MISSED")
        figure = "" if measured is None else f"{measured:.2f}"
        report.say(f"{text:66}{'' if least is None else f'>= {least:g}':>8}{figure:>9}  {verdict}".rstrip())
        rows.append((text, least, figure, verdict))
    report.table("targets.csv", ("target", "least", "measured", "verdict"), rows)


def plot(report):
    done = subprocess.run(["gnuplot", "-e", f"results='{report.directory}'", ROOT / "bench/plot.gp"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"gnuplot: {done.stdout.strip()}")
