"""What pptpproxy --doctor finds, and the commands that mend it.

    report = examine(net.firewall, ["-p", net.server.ip])
    report.good()                                 # status 0, nothing is wrong
    found = report.one("error", r"drops GRE")     # the only finding that matches; .why, .mend
    found.run(net.firewall)                       # its command, as it stands there
"""

import re
from dataclasses import dataclass, field

from .proc import Proc
from .proxy import program

HEADS = {"ok": "  ok       ", "note": "  note     ", "warning": "  warning  ", "error": "  error    "}
WHY, MEND = " " * 11 + "why: ", " " * 11 + "mend: "
END = re.compile(r"(?:nothing is wrong|(\d+) things? (?:is|are) wrong) \((?:(\d+) errors?, (\d+) warnings?, )?(\d+) notes?\)")


@dataclass
class Finding:
    severity: str
    text: str
    why: str = ""
    mend: str = ""

    def run(self, ns, where="", room=None):
        """Run the command. where: what stands before it, "on the server: "."""
        assert self.mend.startswith(where), self.mend
        process = Proc(["sh", "-c", self.mend.removeprefix(where)], ns=ns, room=room)
        assert process.wait(30) == 0, f"{self.mend}: {process.text()}"


@dataclass
class Report:
    status: int
    text: str
    findings: list = field(default_factory=list)

    def __post_init__(self):
        lines = self.text.splitlines()
        end = END.fullmatch(lines[-1]) if lines else None
        assert end, f"no report: {self.text}"
        for line in lines[:-1]:
            self._take(line)
        for found in self.findings:
            assert found.severity == "ok" or found.why and found.mend, f"no reason, or no command: {found}\n{self.text}"
        counts = [len(self.all(severity)) for severity in ("error", "warning", "note")]
        assert counts == [int(count or 0) for count in end.groups()[1:]], self.text
        assert int(end[1] or 0) == counts[0] + counts[1], self.text
        assert self.status == (1 if end[1] else 0), f"status {self.status}: {self.text}"

    def _take(self, line):
        for severity, head in HEADS.items():
            if line.startswith(head):
                self.findings.append(Finding(severity, line.removeprefix(head)))
                return
        if line.startswith(WHY):
            self.findings[-1].why = line.removeprefix(WHY)
        elif line.startswith(MEND):
            self.findings[-1].mend = line.removeprefix(MEND)
        else:
            assert re.fullmatch(r"[A-Z][\w ]+", line), f"what is this line: {line!r}"

    def all(self, severity, pattern=""):
        return [found for found in self.findings if found.severity == severity and re.search(pattern, found.text)]

    def one(self, severity, pattern):
        found = self.all(severity, pattern)
        assert len(found) == 1, f"{len(found)} of {severity} /{pattern}/:\n{self.text}"
        return found[0]

    def only(self, severity, pattern):
        """The same, and nothing else is wrong."""
        wrong = self.all("error") + self.all("warning")
        found = self.one(severity, pattern)
        assert wrong == [found], self.text
        return found

    def none(self, pattern):
        """Nothing but what is all right matches."""
        found = [one for one in self.findings if one.severity != "ok" and re.search(pattern, one.text)]
        assert not found, self.text

    def good(self):
        assert self.status == 0, self.text
        return self


class Examination:
    """It runs, and somebody may act meanwhile: .report() waits for it."""

    def __init__(self, ns, words, call=False, room=None, before=()):
        self.proc = Proc([*before, program(), "--doctor-call" if call else "--doctor", *words], ns=ns, room=room,
                         name="doctor")

    def report(self, timeout=60):
        status = self.proc.wait(timeout)
        return Report(status, self.proc.text())


def examine(ns, words, **options):
    return Examination(ns, words, **options).report()
