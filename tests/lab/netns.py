"""Network namespaces, links between them, and private mount namespaces.

    with closing(Namespace("client")) as client, closing(Namespace("server")) as server:
        link(client, "eth0", server, "eth0")
        client.address("eth0", "10.1.0.10/24")
        server.address("eth0", "10.1.0.1/24")
        client.wait_link("eth0"), server.wait_link("eth0")
        with client:                     # this thread is inside now
            sock = socket.create_connection(("10.1.0.1", 1723))
        client.run(["ping", "-c1", "10.1.0.1"])

topo.py has ready-made networks; a test seldom makes its own.

A namespace is called pptp<pid of the run>-<label>, so `ip netns exec` finds it while a test runs.
Closing it kills every process inside (all were started by this run: the namespace is ours) and
removes it. Whatever is still open when the interpreter ends, by exception, SIGINT or SIGTERM, is
closed then; namespaces of a run that was killed outright are removed by the next one.

Entering is per thread, as the kernel has it. A thread or process started inside begins inside. A
socket stays in the namespace it was made in.
"""

import atexit
import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading

from . import proc
from .errors import Skip

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_PRIVATE = 1 << 18
NETNS_DIR = "/run/netns"
RUN_PREFIX = f"pptp{os.getpid()}-"  # of everything with a name outside: its owner can be told by it

_libc = ctypes.CDLL(None, use_errno=True)
_inside = threading.local()
_open = []  # namespaces and rooms, oldest first


def _call(function, *args):
    if function(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function.__name__}: {os.strerror(code)}")


def _mount(source, target, fstype=None, flags=0, data=None):
    encode = lambda text: None if text is None else text.encode()
    _call(_libc.mount, encode(source), encode(target), encode(fstype), ctypes.c_ulong(flags), encode(data))


def private_mounts(binds=None, tmpfs=None):
    """Move the calling thread, which must be one that may be spent, into a mount namespace of its own.

    binds   {place: what is seen there instead}
    tmpfs   {place: options of the empty file system there, "size=32k"}
    """
    _call(_libc.unshare, CLONE_NEWNS)
    _mount("none", "/", flags=MS_REC | MS_PRIVATE)
    for place, options in (tmpfs or {}).items():
        _mount("lab", str(place), "tmpfs", data=options)
    for place, path in (binds or {}).items():
        _mount(str(path), str(place), flags=MS_BIND)


def need(*commands):
    """Skip the test unless we are root and these commands exist."""
    if os.geteuid() != 0:
        raise Skip("needs root for network namespaces")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for command in commands:
        if not shutil.which(command, path=path):
            raise Skip(f"{command} is not installed")


def ip(*words):
    """Run `ip` with these words; its complaint becomes the exception's text."""
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def _inode(pid, kind):
    try:
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except OSError:
        return None


def _members(kind, inode):
    """pids whose namespace of this kind ("net", "mnt") is the given one; never our own."""
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [pid for pid in pids if pid != os.getpid() and _inode(pid, kind) == inode]


def _signal_members(kind, inode, number):
    """Signal each process of a namespace. A pid is held by a pidfd while it is looked at again, so
    one that was taken over by somebody else's process is not hit."""
    pids = _members(kind, inode)
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            if _inode(pid, kind) == inode:
                signal.pidfd_send_signal(handle, number)
        except OSError:
            pass
        finally:
            os.close(handle)
    return pids


class Namespace:
    """One network namespace, with lo up and IPv6 off.

    name   as `ip netns` shows it
    ip     its main address (str), set by who builds the topology
    """

    def __init__(self, label):
        need("ip")
        _sweep()
        taken = {ns.name for ns in _open if isinstance(ns, Namespace)}
        base = RUN_PREFIX + label
        self.name = next(n for n in [base, *(f"{base}.{i}" for i in range(2, 1000))] if n not in taken)
        self.ip = None
        self.gre_socket = None  # see real.keep_gre_open()
        self._fd = -1
        _open.append(self)
        try:
            ip("netns", "add", self.name)
            self._fd = os.open(f"{NETNS_DIR}/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
            self.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
            self.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
            ip("-n", self.name, "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        """This thread enters; entering may nest. (Leaving does not close it: close() does.)"""
        stack = _inside.__dict__.setdefault("stack", [])
        stack.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        try:
            _call(_libc.setns, self._fd, CLONE_NEWNET)
        except BaseException:
            os.close(stack.pop())
            raise
        return self

    def __exit__(self, *exc):
        back = _inside.stack.pop()
        try:
            _call(_libc.setns, back, CLONE_NEWNET)
        finally:
            os.close(back)

    def run(self, argv, check=True, timeout=30, **options):
        """subprocess.run inside, output captured as text."""
        options.setdefault("capture_output", True)
        with self:
            done = subprocess.run(list(map(str, argv)), text=True, timeout=timeout, **options)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, argv))} in {self.name}: status {done.returncode}\n"
                                 f"{done.stdout or ''}{done.stderr or ''}")
        return done

    def popen(self, argv, **options):
        """A proc.Proc started inside."""
        return proc.Proc(argv, ns=self, **options)

    def sysctl(self, name, value):
        with self, open("/proc/sys/" + name.replace(".", "/"), "w") as file:
            file.write(str(value))

    def address(self, device, address):
        """Give a device an address ("10.1.0.1/24") and bring it up. The first one becomes .ip."""
        ip("-n", self.name, "addr", "add", address, "dev", device)
        ip("-n", self.name, "link", "set", device, "up")
        self.ip = self.ip or address.split("/")[0]

    def wait_link(self, device):
        """Until the device passes packets, which it does not do as soon as both its ends are up: the kernel looks at the
        carrier afterwards, in its own time, and what is sent until then is lost without a word. So does a switch's port."""
        def passes():
            said = ip("-n", self.name, "-d", "-o", "link", "show", "dev", device)
            return " qdisc noop " not in said and " state UP " in said and (
                " bridge_slave " not in said or " bridge_slave state forwarding " in said)

        proc.wait_until(passes, what=f"{device} of {self.name} to pass packets")

    def route(self, destination, via):
        ip("-n", self.name, "route", "add", destination, "via", via)

    def mtu(self, device, octets):
        ip("-n", self.name, "link", "set", device, "mtu", octets)

    def pids(self):
        """The processes inside."""
        return _members("net", os.fstat(self._fd).st_ino) if self._fd >= 0 else []

    def close(self):
        """Kill what runs inside and remove the namespace. Twice is fine."""
        if self not in _open:
            return
        if self._fd >= 0:
            _end_members("net", os.fstat(self._fd).st_ino, self.name)
            os.close(self._fd)
            self._fd = -1
        if self.gre_socket is not None:
            self.gre_socket.close()
        if os.path.exists(f"{NETNS_DIR}/{self.name}"):
            ip("netns", "del", self.name)
        _open.remove(self)

    def __repr__(self):
        return f"<{self.name} {self.ip}>"


def _end_members(kind, inode, name):
    proc.wait_until(lambda: not _signal_members(kind, inode, signal.SIGKILL), 10, f"the processes of {name} to end")


def link(one, device, other, other_device):
    """A veth pair between two namespaces; both ends get their addresses later, and pass packets after wait_link() only."""
    ip("link", "add", device, "netns", one.name, "type", "veth", "peer", "name", other_device, "netns", other.name)


class Room:
    """A private mount namespace for programs that insist on fixed paths: /run is empty and its own
    (pptp's call manager lives in /run/pptp), and so is /dev, with a /dev/log whose lines are .syslog.

    Pass it to Proc(room=...); several programs may share one.
    """

    DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "net/tun")
    DIRECTORIES = ("pptp", "lock")

    def __init__(self, name):
        need()
        self.name = name
        self.syslog = proc.Lines(f"syslog of {name}")
        self._fd = -1
        self._log = None
        _open.append(self)

    def enter(self):
        """Move the calling thread, which must be one that may be spent, into the room."""
        if self._fd >= 0:
            _call(_libc.unshare, CLONE_FS)
            _call(_libc.setns, self._fd, CLONE_NEWNS)
            # Entering goes to the file system's own root, which in a chroot is not ours.
            os.fchdir(self._root)
            os.chroot(".")
            return
        private_mounts(tmpfs={"/run": "mode=755"})
        for directory in self.DIRECTORIES:
            os.mkdir(f"/run/{directory}")
        self._own_dev("/run/dev")
        self._log = proc.datagram_socket("/dev/log")
        self._reader = self.syslog.read_from_datagrams(self._log)
        self._root = os.open("/", os.O_PATH | os.O_CLOEXEC)
        self._fd = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def _own_dev(self, new):
        # /dev/log cannot be made in the host's own /dev, so build a small one and move it there.
        os.mkdir(new)
        _mount("lab", new, "tmpfs", data="mode=755")
        os.makedirs(f"{new}/net")
        os.mkdir(f"{new}/pts")
        _mount("/dev/pts", f"{new}/pts", flags=MS_BIND)
        os.symlink("pts/ptmx", f"{new}/ptmx")
        for device in self.DEVICES:
            if os.path.exists(f"/dev/{device}"):
                os.close(os.open(f"{new}/{device}", os.O_CREAT | os.O_WRONLY, 0o666))
                _mount(f"/dev/{device}", f"{new}/{device}", flags=MS_BIND)
        _mount(new, "/dev", flags=MS_MOVE)

    def pids(self):
        return _members("mnt", os.fstat(self._fd).st_ino) if self._fd >= 0 else []

    def kill(self, number=signal.SIGKILL):
        """Signal everything that runs in the room, daemons that left their parent included."""
        if self._fd >= 0:
            _signal_members("mnt", os.fstat(self._fd).st_ino, number)

    def close(self):
        """Kill what runs in it, and forget it. Twice is fine."""
        if self not in _open:
            return
        if self._fd >= 0:
            _end_members("mnt", os.fstat(self._fd).st_ino, self.name)
            os.close(self._fd)
            os.close(self._root)
            self._fd = -1
        if self._log is not None:
            self._log.shutdown(2)
            self._reader.join(2)
            self._log = None
        _open.remove(self)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def close_all():
    """Close what is still open, newest first. Returns the names, for whoever wonders who forgot them."""
    names = [thing.name for thing in _open]
    for thing in reversed(list(_open)):
        try:
            thing.close()
        except Exception as error:  # the others still want to go
            print(f"# lab: {thing.name}: {error}", flush=True)
    return names


def _orphans(directory):
    """The entries with a run's prefix whose run is no more."""
    for name in os.listdir(directory) if os.path.isdir(directory) else []:
        owner = re.fullmatch(r"pptp(\d+)-.*", name)
        if owner is not None and not os.path.exists(f"/proc/{owner[1]}"):
            yield name


_swept = False


def _sweep():
    """Once a run: remove the namespaces and temporary directories of earlier runs that were killed
    before they could."""
    global _swept
    if _swept:
        return
    _swept = True
    for name in _orphans(tempfile.gettempdir()):
        shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)
    for name in _orphans(NETNS_DIR):
        try:
            inode = os.stat(f"{NETNS_DIR}/{name}").st_ino
            _end_members("net", inode, name)
            ip("netns", "del", name)
        except (OSError, RuntimeError):
            pass  # another run was quicker


atexit.register(close_all)
