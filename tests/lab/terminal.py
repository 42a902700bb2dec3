"""A terminal of a test's own, with a program on it.

    with Terminal(["pptpproxy", "--show", "calls", "--watch"], ns, columns=80, rows=24) as terminal:
        terminal.wait(lambda screen: "1:5" in screen)      # the screen, as lines joined by newlines
        terminal.resize(40, 10)                            # as a window does it: SIGWINCH comes with it
        terminal.type("q")
        assert terminal.wait_end() == 0

It knows what a program needs that draws whole screens: cursor home, clear to the end of the line and of the screen,
the alternate screen, the cursor's visibility. What it does not know is an error.
"""

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading
import time

from .errors import LabTimeout
from .proc import PATIENCE, Proc

END = re.compile(rb"\[status (\d+)\]\r?\n")
CONTROL = re.compile(rb"\x1b\[(\?\d+[hl]|H|J|K)")


class Terminal:
    """.screen  its lines as text;  .modes  what is switched on ("?1049": the alternate screen);  .octets  all that came"""

    def __init__(self, argv, ns=None, columns=80, rows=24, env=None):
        self.master, self.slave = pty.openpty()
        self.columns, self.rows = columns, rows
        self.octets, self._rest = b"", b""
        self._lines, self._row, self._column = [""], 0, 0
        self.modes = set()
        self._changed = threading.Condition()
        self._set_size()
        self.before = termios.tcgetattr(self.slave)
        # A session whose terminal this is, so that its keys make signals. Its shell outlives the program: at a session's
        # end the system itself puts a terminal back.
        script = ["sh", "-c", 'trap : INT; "$@"; echo "[status $?]"; exec cat', "sh", *argv]
        self.proc = Proc(["setsid", "--ctty", "--wait", *script], ns=ns, stdin=self.slave, stdout=self.slave, env=env)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _set_size(self):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self._set_size()

    def _read(self):
        while True:
            try:
                octets = os.read(self.master, 65536)
            except OSError:
                octets = b""
            with self._changed:
                self.octets += octets
                self._take(octets)
                self._changed.notify_all()
            if not octets:
                return

    def _take(self, octets):
        octets = self._rest + octets
        at = 0
        while at < len(octets):
            if octets[at] == 0x1B:
                found = CONTROL.match(octets, at)
                if not found and len(octets) - at < 8:
                    break  # the rest is to come
                assert found, f"a sequence that this terminal does not know: {octets[at:at + 20]}"
                self._obey(found[1].decode())
                at = found.end()
            else:
                self._put(chr(octets[at]))
                at += 1
        self._rest = octets[at:]

    def _obey(self, code):
        if code == "H":
            self._row = self._column = 0
        elif code == "K":
            self._lines[self._row] = self._lines[self._row][:self._column]
        elif code == "J":
            self._lines[self._row] = self._lines[self._row][:self._column]
            del self._lines[self._row + 1:]
        elif code.endswith("h"):
            self.modes.add(code[:-1])
        else:
            self.modes.discard(code[:-1])

    def _put(self, char):
        if char == "\r":
            self._column = 0
        elif char == "\n":
            self._row += 1
            if self._row == len(self._lines):
                self._lines.append("")
        else:
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[:self._column] + char + line[self._column + 1:]
            self._column += 1

    @property
    def screen(self):
        with self._changed:
            return "\n".join(self._lines)

    def wait(self, condition, timeout=PATIENCE):
        """Until the condition holds of the screen; its value."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (value := condition("\n".join(self._lines))):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise LabTimeout("the screen still is:\n" + "\n".join(self._lines) + "\n" + self.proc.text())
                self._changed.wait(left)
            return value

    def type(self, text):
        os.write(self.master, text.encode())

    def settings(self):
        """The line's, as tcgetattr tells."""
        return termios.tcgetattr(self.slave)

    def wait_end(self, timeout=PATIENCE):
        """The program's exit status. All that it has written is there by then; .text has it without the status."""
        self.wait(lambda screen: END.search(self.octets), timeout)
        return int(END.search(self.octets)[1])

    @property
    def text(self):
        return END.sub(b"", self.octets).decode().replace("\r\n", "\n")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.proc.signal(signal.SIGKILL)
        self.proc.kill()
        os.close(self.slave)
        self._reader.join(5)
        os.close(self.master)
