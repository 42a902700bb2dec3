"""Boots user-mode-linux guests: a kernel with PPP and MPPE of its own, for tests on a host whose kernel has none.

    with Guest(net.client, Link("eth0", "10.1.0.10/24", gateway="10.1.0.1")) as guest:
        guest.wait_ready()
        guest.check(["ping", "-c", "1", "10.1.0.1"])
        guest.log.wait(r"MPPE 128-bit .* enabled")

A guest's root is the host's /, read-only (hostfs): it runs the programs that are installed here. Its network card is a
device of the namespace that it is given, read and written raw: that device is up and has no address. guest_init.py is
what runs inside.

Nothing of a guest outlives it. All its processes live in a PID namespace whose first process dies with the one that
started it, however that one ends; its files are in one private directory. stop() waits until the last process has gone.

UML needs a Debian x86-64 host, root and ptrace(); need_host() skips the test elsewhere. It needs xstate_shim.c on a
CPU with AMX, so every guest gets it.
"""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from lab.errors import LabTimeout, Skip
from lab.netns import need
from lab.proc import Lines, Proc, wait_until

HERE = Path(__file__).resolve().parent
KERNEL = "/usr/bin/linux.uml"
MODULES = "/usr/lib/uml/modules"
# gre: with a handler for protocol 47 the kernel never answers "protocol unreachable" to a full socket, which would end
# the call; see lab.real.keep_gre_open().
NEEDED = ("ppp_async", "ppp_mppe", "gre")
SHM_NEEDED = 512 << 20  # UML keeps its memory in a file there
BOOT = 60.0  # seconds; it is 2 to 4 where nothing else runs


@dataclasses.dataclass
class Link:
    device: str  # of the namespace
    address: str  # the guest's, with its prefix length
    gateway: str


def kernel_version():
    return subprocess.run([KERNEL, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def module_files(names):
    """The files of these modules and of all that they need, in an order in which they load."""
    top = Path(MODULES, kernel_version())
    table = (top / "modules.dep").read_text()
    needs = {path: rest.split() for path, _, rest in (row.partition(":") for row in table.splitlines())}
    named = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    order = []

    def add(path):
        for other in needs[path]:
            add(other)
        if path not in order:
            order.append(path)

    for name in names:
        if name not in named:
            raise Skip(f"the guest kernel {top.name} has no module {name}")
        add(named[name])
    return [str(top / path) for path in order]


def need_host(*commands):
    """Skip the test where no guest can boot, or where these commands are missing."""
    need("ip", "unshare", "setpriv", "setarch", "cc", *commands)
    if not os.access(KERNEL, os.X_OK):
        raise Skip(f"no {KERNEL} (Debian package user-mode-linux)")
    if not Path(MODULES, kernel_version(), "modules.dep").exists():
        raise Skip(f"no modules of {kernel_version()} under {MODULES}")
    module_files(NEEDED)


def build_preload(directory, name="xstate_shim"):
    path = Path(directory, name + ".so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", path, HERE / (name + ".c"), "-ldl"], check=True)
    return path


def _processes_in(pid_namespace):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{entry}/ns/pid") == pid_namespace:
                found.append(int(entry))
    return found


class Guest:
    """One guest, booting from the moment it is made; wait_ready() before anything is asked of it.

    ns        the namespace that it starts in
    link      its network card (default: none)
    files     texts to write inside, by their path, readable for root alone: below /etc/ppp, /run or /tmp
    programs  paths of programs from anywhere here, which the guest finds by their names
    preload   shared objects to preload into linux.uml (default: the shim)

    .log      its console: the kernel's messages and, as "name[pid]: text", what programs send to syslog
    """

    def __init__(self, ns, link=None, files=None, programs=(), preload=None, memory="128M", name=None):
        need_host()
        self.name = name or ns.name
        self._proc = None
        self._requests = -1
        self._last_id = 0
        self._pid_namespace = None
        self._directory = Path(tempfile.mkdtemp(prefix="pptpuml-"))
        try:
            if preload is None:
                preload = [build_preload(self._directory)]
            self._write_plan(link, files or {}, programs)
            self._boot(ns, self._command(link, preload, memory))
        except BaseException:
            self.stop()
            raise

    def _write_plan(self, link, files, programs):
        plan = {"hostname": self.name, "modules": module_files(NEEDED), "files": files,
                "programs": [str(path) for path in programs]}
        if link:
            plan["link"] = {"address": link.address, "gateway": link.gateway}
        (self._directory / "plan.json").write_text(json.dumps(plan))
        init = self._directory / "init"
        shutil.copy(HERE / "guest_init.py", init)
        init.chmod(0o755)

    def _command(self, link, preload, memory):
        # Standard input and output are the guest's serial line, standard error is its console.
        kernel = [KERNEL, f"mem={memory}", f"uml_dir={self._directory}/", "umid=guest"]
        kernel += ["rootfstype=hostfs", "rootflags=/", "ro", f"init={self._directory}/init"]
        kernel += ["con=null", "con0=null,fd:2", "ssl=null", "ssl0=fd:0,fd:1", "loglevel=5"]
        if link:
            kernel.append(f"vec0:transport=raw,ifname={link.device}")
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"HOME={self._directory}"]
        shm = os.statvfs("/dev/shm")
        if shm.f_bavail * shm.f_frsize < SHM_NEEDED:
            environment.append(f"TMPDIR={self._directory}")  # slower, but a container's /dev/shm may be tiny
        if preload:
            environment.append("LD_PRELOAD=" + " ".join(map(str, preload)))
        # The shell is the first process of the PID namespace, so that UML is not: the kernel keeps signals from that
        # one which UML sends itself. All others end with it, and it ends with unshare, and that with us.
        # setarch: where addresses are random, UML fills the gap behind its heap with up to 1 GiB more "memory".
        return ["setpriv", "--pdeathsig", "KILL", "setarch", "--addr-no-randomize",
                "unshare", "--pid", "--mount-proc", "--fork", "--kill-child=KILL", "--",
                "sh", "-c", 'ulimit -c 0; "$@"; exit $?', "sh", *environment, *kernel]

    def _boot(self, ns, command):
        requests, self._requests = os.pipe2(os.O_CLOEXEC)
        answers, answers_in = os.pipe2(os.O_CLOEXEC)
        self._answers = Lines(f"answers of {self.name}")
        self._answers.read_from(answers)
        try:
            self._proc = Proc(command, ns=ns, stdin=requests, stdout=answers_in, name=f"console of {self.name}")
        finally:
            os.close(requests)
            os.close(answers_in)
        self.log = self._proc.log

    def wait_ready(self, timeout=BOOT):
        """It has booted, and its network is set up. Returns self."""
        try:
            self._answer(0, timeout, "booting")
        except LabTimeout as error:
            # The first thing that UML does is to try ptrace(); a sandbox that forbids it is no fault of ours.
            said = self._answers.text() + self.log.text()
            if re.search(r"ptrace.*Operation not permitted|ptrace.* errno = 1\b", said):
                raise Skip("ptrace() is forbidden here") from error
            raise
        self._note_namespace()
        return self

    def _note_namespace(self):
        with contextlib.suppress(OSError):
            there = os.readlink(f"/proc/{self._proc.pid}/ns/pid_for_children")
            if there != os.readlink("/proc/self/ns/pid"):
                self._pid_namespace = there

    def _end_first(self):
        """End the PID namespace through its first process: unshare, its parent, sees it go once all others have gone.
        (Were unshare to go first, the dead would be left to whatever is process 1 here.)"""
        unshare = self._proc.pid
        with contextlib.suppress(OSError, LabTimeout):
            for child in Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
                self._proc.wait()

    def _answer(self, number, timeout, what):
        try:
            found = self._answers.wait(rf'^{{"id": {number}, ', timeout)
        except LabTimeout as error:
            why = str(error).splitlines()[0].rpartition(": ")[2]
            raise LabTimeout(f"{self.name}, {what}: {why}\n{self.log.tail()}") from None
        return json.loads(found.string)

    def _ask(self, argv, patience, **more):
        self._last_id += 1
        words = [str(word) for word in argv]
        request = json.dumps({"id": self._last_id, "argv": words, **more}).encode() + b"\n"
        try:
            while request:
                request = request[os.write(self._requests, request):]
        except BrokenPipeError:
            raise AssertionError(f"{self.name} has ended\n{self.log.tail()}") from None
        return self._answer(self._last_id, patience, " ".join(words))

    def run(self, argv, timeout=30.0):
        """Run a command inside. Returns (exit status, output); 124 for one that took too long and was killed."""
        answer = self._ask(argv, timeout + 15, timeout=timeout)
        return answer["status"], answer["output"]

    def check(self, argv, timeout=30.0):
        """Run a command inside that succeeds. Returns its output."""
        status, output = self.run(argv, timeout)
        if status != 0:
            raise AssertionError(f"{' '.join(map(str, argv))} in {self.name}: status {status}\n{output}")
        return output

    def start(self, argv):
        """Start a command inside whose output goes to the console. Returns its process ID in there."""
        answer = self._ask(argv, 30, background=True)
        if answer["status"] != 0:
            raise AssertionError(f"{argv[0]} in {self.name}: {answer['output']}")
        return int(answer["output"])

    def stop(self):
        """End it, and wait until all its processes have gone. Twice is fine."""
        try:
            if self._proc is not None and self._proc.running():
                self._note_namespace()
                self._end_first()
                self._proc.kill()
            if self._pid_namespace is not None:
                wait_until(lambda: not _processes_in(self._pid_namespace), 10, f"the processes of {self.name} to end")
        finally:
            if self._requests >= 0:
                os.close(self._requests)
                self._requests = -1
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
