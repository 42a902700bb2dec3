#!/usr/bin/python3 -IS
"""The first program inside a user-mode-linux guest: sets the guest up, then does what guest.py asks for.

guest.py copies this file beside a `plan.json` and boots the guest with it as init. The root is the host's /, read-only;
whatever programs write to (/run, /tmp, /etc/ppp, /var/log) is a tmpfs of the guest's own, and so are /etc/hosts and
/etc/resolv.conf. Requests and answers are lines of JSON on the guest's first serial line; the console carries the
kernel's messages and, as `name[pid]: text`, what programs send to syslog.

plan.json: hostname, modules (paths, in the order to load), files (path -> text), programs (paths of the host's, which
may be hidden by one of those tmpfs: they are copied to /run/bin), link (address with its prefix length, gateway; may be
absent).
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tty

LIBC = ctypes.CDLL(None, use_errno=True)
MS_BIND = 4096
SYS_finit_module = 313  # x86-64, the only machine that Debian builds user-mode-linux for


def check(result, what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(kind, where, options=""):
    os.makedirs(where, exist_ok=True)
    check(LIBC.mount(b"none", where.encode(), kind.encode(), 0, options.encode()), f"mount {where}")


def load_module(path):
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    check(LIBC.syscall(SYS_finit_module, handle, b"", 0), f"load {path}")
    os.close(handle)


def syslog_to_console():
    """Be syslogd: pppd, pptpd and pptp say nothing anywhere else."""
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    inbox.bind("/dev/log")

    def run():
        while True:
            text = inbox.recv(65536).decode(errors="replace").rstrip("\0\n")
            if text.startswith("<") and ">" in text:
                text = text.split(">", 1)[1]
            # "Nov 21 01:34:00 pppd[7]: ...": the time is the guest's own business.
            if len(text) > 16 and text[15] == " " and text[9] == text[12] == ":":
                text = text[16:]
            os.write(1, text.replace("\n", " ").encode() + b"\n")

    threading.Thread(target=run, daemon=True).start()


def own_file(path, text):
    """Put a file of the guest's own over one of the host's."""
    own = "/run/" + os.path.basename(path)
    with open(own, "w") as out:
        out.write(text)
    if os.path.exists(path):
        check(LIBC.mount(own.encode(), path.encode(), None, MS_BIND, None), f"mount {path}")


def write(path, octets, mode):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as out:
        out.write(octets)


def set_up(plan):
    programs = {}
    for path in plan["programs"]:
        with open(path, "rb") as file:
            programs["/run/bin/" + os.path.basename(path)] = file.read()
    mount("proc", "/proc")
    mount("sysfs", "/sys")
    mount("devpts", "/dev/pts", "mode=620,ptmxmode=666")
    for where in ("/run", "/tmp", "/etc/ppp", "/var/log"):
        mount("tmpfs", where)
    for where in ("/run/lock", "/run/pptp", "/run/ppp"):
        os.mkdir(where)
    socket.sethostname(plan["hostname"])
    # pppd looks its host's name up, and would ask the host's name servers, which no guest reaches, for 10 s.
    own_file("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {plan['hostname']}\n")
    own_file("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    for path in plan["modules"]:
        load_module(path)
    for path, text in plan["files"].items():
        write(path, text.encode(), 0o600)
    for path, octets in programs.items():
        write(path, octets, 0o755)
    ip("link", "set", "lo", "up")
    if "link" in plan:
        ip("address", "add", plan["link"]["address"], "dev", "vec0")
        ip("link", "set", "vec0", "up")
        ip("route", "add", "default", "via", plan["link"]["gateway"])


def ip(*words):
    subprocess.run(("ip", *words), check=True, stdin=subprocess.DEVNULL)


def do(request):
    """Run one command. In the background: its output goes to the console, and the answer is its process ID."""
    argv = request["argv"]
    if request.get("background"):
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
        threading.Thread(target=child.wait, daemon=True).start()
        return {"status": 0, "output": str(child.pid)}
    child = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        output, _ = child.communicate(timeout=request["timeout"])
        status = child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output, _ = child.communicate()
        status = 124
    return {"status": status, "output": output.decode(errors="replace")}


def serve(line):
    answer_lock = threading.Lock()

    def answer(message):
        data = json.dumps(message).encode() + b"\n"
        with answer_lock:
            while data:
                data = data[os.write(line, data) :]

    def handle(request):
        try:
            result = do(request)
        except OSError as error:
            result = {"status": 127, "output": str(error)}
        answer({"id": request["id"], **result})

    answer({"id": 0, "status": 0, "output": f"ready after {time.monotonic():.1f} s"})
    for text in os.fdopen(os.dup(line), "rb"):
        threading.Thread(target=handle, args=(json.loads(text),), daemon=True).start()


def main():
    os.environ.update(PATH="/run/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME="/run", LC_ALL="C")
    with open(os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "plan.json")) as plan_file:
        plan = json.load(plan_file)
    line = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    tty.setraw(line)
    tty.setraw(1)  # no carriage returns in the console's lines
    set_up(plan)
    syslog_to_console()
    serve(line)


main()
