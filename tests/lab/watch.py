"""What a process uses: memory, descriptors, threads, processor time, children; and the program's two processes."""

import os
import subprocess

TICKS = os.sysconf("SC_CLK_TCK")


def _status(pid, field):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise KeyError(field)


def rss(pid):
    """Octets in memory."""
    return _status(pid, "VmRSS") * 1024


def bound(octets):
    """So much more memory may be in use. A sanitizer's own comes on top: PPTPPROXY_TEST_MEMORY=N allows N times as much."""
    return octets * int(os.environ.get("PPTPPROXY_TEST_MEMORY", "1"))


class Growth:
    """How much more memory a process has than when this was made."""

    def __init__(self, pid):
        self.pid, self.before = pid, rss(pid)

    def check(self, octets, why=""):
        """Less than so many octets."""
        grown = rss(self.pid) - self.before
        assert grown < bound(octets), f"{grown >> 10} KiB more than before{why and ', '}{why}"


def threads(pid):
    return _status(pid, "Threads")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def descriptor_limit(pid):
    """Soft and hard."""
    with open(f"/proc/{pid}/limits") as file:
        return tuple(int(word) for word in next(line for line in file if line.startswith("Max open files")).split()[3:5])


def limit_descriptors(pid, soft, hard):
    """As its own user: root may only with CAP_SYS_RESOURCE, which it has not everywhere."""
    user = os.stat(f"/proc/{pid}/status").st_uid or _status(pid, "Uid")
    group = _status(pid, "Gid")
    subprocess.run(["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups",
                    "prlimit", f"--pid={pid}", f"--nofile={soft}:{hard}"], check=True)


def stat(pid):
    """The fields of /proc/PID/stat behind the name: state, parent, group, session, terminal, ..."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def gone(pid):
    """Has it ended? A zombie has."""
    try:
        return stat(pid)[0] == "Z"
    except OSError:
        return True


def cpu(pid):
    """Seconds of processor time so far, of all its threads."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS


def children(pid):
    """pids of its children, zombies included."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            found += map(int, file.read().split())
    return found


def _name(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")[0]
    except OSError:
        return b""


def worker(keeper):
    """pid of the worker of this keeper; None where there is none at the moment."""
    return next((pid for pid in children(keeper) if _name(pid) == b"pptpproxy: worker"), None)


def raw_drops(ns):
    """Packets that found a raw socket of this namespace full."""
    with ns, open("/proc/thread-self/net/raw") as table:
        return sum(int(line.split()[-1]) for line in table.readlines()[1:])


def commands(keeper):
    """pids of the access commands that it has started, zombies included."""
    return [pid for pid in children(keeper) if _name(pid) != b"pptpproxy: worker"]
