"""A copy of this machine in which packages can be installed and removed: an overlay over its root, gone with its room.

    with Machine() as machine:
        machine.run(["dpkg", "-i", "/run/debs/pptpproxy_3.0.0-1_amd64.deb"])
        machine.changed()        # what is there now and was not before, or is another

/run/debs is the directory debs. systemctl is replaced by a script that knows one service, whose pid is in
/run/service.pid, and notes in /run/systemctl.log what it was asked; /run/systemd/system is there, so maintainer
scripts believe that systemd runs.
"""

import os
import stat
import subprocess
import tempfile
import threading
from pathlib import Path

from .errors import Skip
from .netns import CLONE_FS, CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, RUN_PREFIX, _call, _end_members, _libc, _mount, need

SYSTEMCTL = """\
#!/bin/sh
# One service, in the place of systemd.
echo "$*" >>/run/systemctl.log
pid=$(cat /run/service.pid 2>/dev/null)
number=
for word in "$@"; do
	case $word in
	--signal=*) number=${word#--signal=} ;;
	esac
done
case " $* " in
*" is-enabled "*) [ -e /etc/systemd/system/multi-user.target.wants/pptpproxy.service ] && echo enabled || echo disabled ;;
*" is-active "*) [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null ;;
*" kill "*) kill -"$number" "$pid" ;;
*" stop "*)
	# Its parent may look after its end later.
	kill -TERM "$pid"
	while grep -q '^State:.[^Z]' "/proc/$pid/status" 2>/dev/null; do sleep 0.05; done
	;;
esac
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """.env  for whoever is started in it;  .directory  its overlay, as seen from inside only"""

    def __init__(self, debs):
        need("dpkg")
        self.name = "installed machine"
        self.debs = Path(debs)
        self.env = {"PATH": PATH, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "SYSTEMD_OFFLINE": ""}
        self._directory = tempfile.TemporaryDirectory(prefix=RUN_PREFIX)
        self._mounts = self._root = -1
        self._in_thread(self._make)

    def _in_thread(self, function):
        """As the calling thread must be spent: what it answers, or raises."""
        result = []

        def run():
            try:
                result.append((function(), None))
            except BaseException as error:
                result.append((None, error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        value, error = result[0]
        if error:
            raise error
        return value

    def _make(self):
        base = self._directory.name
        _call(_libc.unshare, CLONE_NEWNS)
        _mount("none", "/", flags=MS_REC | MS_PRIVATE)
        _mount("lab", base, "tmpfs", data="mode=755")
        for name in ("upper", "work", "root"):
            os.mkdir(f"{base}/{name}")
        os.chmod(f"{base}/root", 0o755)
        root = f"{base}/root"
        try:
            _mount("lab", root, "overlay", data=f"lowerdir=/,upperdir={base}/upper,workdir={base}/work")
        except OSError as error:
            raise Skip(f"no overlay over / can be had: {error}") from None
        for place in ("proc", "sys", "dev"):
            _mount(f"/{place}", f"{root}/{place}", flags=MS_BIND | MS_REC)
        _mount("lab", f"{root}/run", "tmpfs", data="mode=755")
        os.makedirs(f"{root}/run/systemd/system")
        for place, path in (("debs", self.debs), ("upper", f"{base}/upper")):
            os.mkdir(f"{root}/run/{place}")
            _mount(str(path), f"{root}/run/{place}", flags=MS_BIND)
        self._mounts = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._root = os.open(root, os.O_PATH | os.O_CLOEXEC)
        os.fchdir(self._root)
        os.chroot(".")
        Path("/usr/local/sbin/systemctl").write_text(SYSTEMCTL)
        os.chmod("/usr/local/sbin/systemctl", 0o755)
        # Nobody forbids starting and stopping here.
        if os.path.lexists("/usr/sbin/policy-rc.d"):
            os.unlink("/usr/sbin/policy-rc.d")
        self._before = self._list()

    def enter(self):
        """Move the calling thread, which must be one that may be spent, into it."""
        _call(_libc.unshare, CLONE_FS)
        _call(_libc.setns, self._mounts, CLONE_NEWNS)
        os.fchdir(self._root)
        os.chroot(".")

    def enter_apart(self):
        """... into a mount namespace of its own with the same files, as a service gets one."""
        self.enter()
        _call(_libc.unshare, CLONE_NEWNS)

    @property
    def apart(self):
        """A room for Proc: see enter_apart."""
        return type("Apart", (), {"enter": lambda _: self.enter_apart()})()

    def inside(self, function):
        """Call it with this machine's files, in a thread."""
        def run():
            self.enter()
            return function()

        return self._in_thread(run)

    def run(self, argv, check=True, timeout=120):
        """subprocess.run in it, output captured as text."""
        done = self.inside(lambda: subprocess.run(list(map(str, argv)), env={**os.environ, **self.env}, text=True, cwd="/",
                                                  capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL))
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, argv))}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def read(self, path):
        return self.inside(lambda: Path(path).read_text())

    def write(self, path, text, mode=0o644):
        def write():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
            os.chmod(path, mode)

        self.inside(write)

    def exists(self, path):
        return self.inside(lambda: os.path.lexists(path))

    def _list(self):
        """What lies over the machine's own files: no directories, and nothing that was taken away."""
        found = set()
        for folder, _, names in os.walk("/run/upper"):
            for name in names:
                path = f"{folder}/{name}"
                status = os.lstat(path)
                if not (stat.S_ISCHR(status.st_mode) and status.st_rdev == 0):
                    found.add(path.removeprefix("/run/upper"))
        return found

    def changed(self):
        """Files that are new, or others than at the beginning."""
        return self.inside(self._list) - self._before

    def close(self):
        if self._mounts >= 0:
            _end_members("mnt", os.fstat(self._mounts).st_ino, self.name)
            os.close(self._root)
            os.close(self._mounts)
            self._mounts = -1
        self._directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
