"""Starts a systemd unit's program as systemd would, as far as rights go: capabilities, system calls, socket families,
memory that is written and executed, what can be written to. systemd itself does not run in the lab.

    python3 walls.py UNIT [DROP-IN ...]

in a mount namespace that may be spent, as root. NOTIFY_SOCKET in the environment is passed on. Each setting of the
unit must be known here, lest one that breaks the program goes unnoticed: an unknown one is an error.
"""

import ctypes
import os
import re
import resource
import shlex
import subprocess
import sys

CAPABILITIES = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_NET_BIND_SERVICE": 10, "CAP_NET_ADMIN": 12,
                "CAP_NET_RAW": 13, "CAP_BPF": 39}
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 24, 38, 65
ALLOW, EPERM, EQUAL = 0x7FFF0000, 0x00050001, 4
# Of the supervisor's own doings, or about what no test here has.
ELSEWHERE = {"Type", "ExecReload", "KillMode", "TimeoutStopSec", "Restart", "RestartSec", "PrivateTmp", "PrivateDevices",
             "ProtectHome", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectClock",
             "ProtectHostname", "ProtectProc", "LockPersonality", "RestrictNamespaces", "RestrictRealtime",
             "RestrictSUIDSGID", "SystemCallArchitectures", "LogsDirectoryMode", "RuntimeDirectoryPreserve"}

libc = ctypes.CDLL(None, use_errno=True)


def settings(paths):
    """Of the [Service] sections: {name: [value, ...]}."""
    found = {}
    for path in paths:
        section = None
        for line in open(path):
            line = line.strip()
            if line.startswith("["):
                section = line
            elif line and line[0] not in "#;" and section == "[Service]":
                name, value = line.split("=", 1)
                found.setdefault(name, []).append(value)
    return found


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def system_calls(words):
    """Their names, those of groups as systemd has them."""
    names = set()
    for word in words:
        if not word.startswith("@"):
            names.add(word)
            continue
        said = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", word], stdout=subprocess.PIPE, text=True,
                              check=True).stdout
        names |= system_calls([line.strip() for line in said.splitlines()[1:] if re.match(r"\s+[@\w]", line)])
    return names


class Argument(ctypes.Structure):
    _fields_ = [("number", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def filter_calls(names, families):
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(EPERM)))
    for name in sorted(names - {"socket"}):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # negative: not on this machine
            check(seccomp.seccomp_rule_add(context, ctypes.c_uint32(ALLOW), number, 0), name)
    number = seccomp.seccomp_syscall_resolve_name(b"socket")
    for family in families:
        argument = Argument(0, EQUAL, family, 0)
        check(seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, 1, ctypes.byref(argument)), "socket")
    check(seccomp.seccomp_load(context), "seccomp_load")


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def main(paths):
    unit = settings(paths)
    take = lambda name, default="": unit.pop(name, [default])
    for name in ELSEWHERE:
        take(name)
    command = shlex.split(take("ExecStart")[-1])
    writable = [f"{place}/{name}" for option, place in (("LogsDirectory", "/var/log"), ("RuntimeDirectory", "/run"))
                for name in take(option)[-1].split()]
    for path in writable:
        os.makedirs(path, exist_ok=True)
        mount("--bind", path, path)
    assert take("ProtectSystem")[-1] == "strict"
    mount("-o", "remount,bind,ro", "/run")
    mount("-o", "remount,bind,ro", "/")
    if take("ProtectKernelTunables")[-1] == "yes":
        mount("--bind", "/proc/sys", "/proc/sys")
        mount("-o", "remount,bind,ro", "/proc/sys")
    os.umask(int(take("UMask", "0022")[-1], 8))
    # Where the lab runs nobody may raise it, perhaps.
    number = min(int(take("LimitNOFILE")[-1]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))
    kept = {CAPABILITIES[name] for value in take("CapabilityBoundingSet") for name in value.split()}
    for capability in range(int(open("/proc/sys/kernel/cap_last_cap").read()) + 1):
        if capability not in kept:
            check(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "PR_CAPBSET_DROP")
    assert take("NoNewPrivileges")[-1] == "yes"
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    calls = system_calls([word for value in take("SystemCallFilter") for word in value.split()])
    assert take("SystemCallErrorNumber")[-1] == "EPERM"
    families = [FAMILIES[name] for value in take("RestrictAddressFamilies") for name in value.split()]
    refuse = take("MemoryDenyWriteExecute", "no")[-1] == "yes"
    assert not unit, f"settings that are not known here: {', '.join(unit)}"
    if refuse:
        libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)  # from Linux 6.3 on
    filter_calls(calls | {"prctl"}, families)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
