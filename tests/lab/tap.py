"""A small test runner: runs the test_* functions of a file in order and prints TAP 13.

A case is named by the first line of its docstring, or by its function. Any exception fails it, with
the traceback and the last lines of every process that the lab started for it as diagnostics; Skip
skips it. A sanitizer's report, of whichever process, fails it as well. Words on the command line are
filters: a case runs if its function's name or its title holds one of them.

Each case has 120 s (@deadline(S) for another, PPTPPROXY_TEST_SLOWDOWN=N to stretch all of them, as a
sanitizer's run wants). One that takes longer fails with the stacks of all threads; one that does
not even unwind ends the whole run, after cleaning up.
"""

import functools
import os
import signal
import sys
import threading
import time
import traceback

from . import netns, proc, sanitizers
from .errors import Skip
from .proc import slowdown

DEADLINE = 120
GRACE = 30
SOURCES = 12  # of last lines that are shown for a failed case: enough to find out, not to drown


class _Overdue(BaseException):
    """Not an Exception: a test that catches those must not swallow its own deadline."""


def deadline(seconds):
    """Decorator: this case may take so long."""

    def mark(function):
        function.deadline = seconds
        return function

    return mark


class _TooLate(Exception):
    pass


class _Clock:
    def __init__(self, seconds):
        self.seconds, self.began = seconds, None

    def start(self):
        self.began = time.monotonic()

    def stop(self):
        if time.monotonic() - self.began >= self.seconds:
            raise _TooLate


def in_time(seconds):
    """Decorator: between clock.start() and clock.stop() of the clock that this case gets its own part must take less than so
    many seconds, as the program waits no longer. Where the machine did not let it, the case has shown nothing, and begins
    anew; after five times it is skipped."""

    def mark(function):
        @functools.wraps(function)
        def case():
            for _ in range(5):
                try:
                    return function(_Clock(seconds))
                except _TooLate:
                    comment(f"it took longer than {seconds:g} s: once more")
            raise Skip(f"this machine takes longer than {seconds:g} s")

        return case

    return mark


def title(function):
    text = (function.__doc__ or "").strip()
    return text.splitlines()[0].rstrip(".") if text else function.__name__


def _stacks():
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        parts.append(f"thread {names.get(ident, ident)}:\n" + "".join(traceback.format_stack(frame)))
    return "\n".join(parts)


def say(text):
    print(text, flush=True)


def comment(text):
    for line in text.rstrip("\n").split("\n"):
        say(f"# {line}".rstrip())


class _Watchdog:
    """SIGALRM at the deadline; again after GRACE if the test has not unwound; then the end."""

    def __init__(self, label, seconds):
        self.label, self.seconds, self.fired, self.stacks = label, seconds, 0, ""

    def _fire(self, number, frame):
        self.fired += 1
        if self.fired == 1:
            self.stacks = _stacks()
            signal.setitimer(signal.ITIMER_REAL, GRACE)
            raise _Overdue
        if self.fired == 2:  # it hangs in its clean-up: ours is better than none
            comment(_stacks())
            say(f"Bail out! {self.label} does not end")
            signal.setitimer(signal.ITIMER_REAL, GRACE)
            proc.stop_all()
            netns.close_all()
        os._exit(1)

    def __enter__(self):
        signal.signal(signal.SIGALRM, self._fire)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        return self

    def __exit__(self, *exc):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _clean_up():
    proc.stop_all()
    return netns.close_all()


def _run(number, function):
    label = f"{number} - {title(function)}"
    seconds = getattr(function, "deadline", DEADLINE) * slowdown()
    proc.forget()
    watchdog = _Watchdog(label, seconds)
    began = time.monotonic()
    trouble = skipped = None
    try:
        with watchdog:
            try:
                function()
            finally:
                left = _clean_up()
        if left:
            trouble = f"the test left these open: {', '.join(left)}"
    except Skip as reason:
        skipped = reason
    except _Overdue:
        _clean_up()
        trouble = f"not done within {seconds:g} s\n{watchdog.stacks}"
    except Exception:
        trouble = traceback.format_exc()
    reports = sanitizers.taken()
    if reports:
        trouble = f"{trouble or ''}a sanitizer reports:\n{reports}"
    if trouble is None and skipped is not None:
        say(f"ok {label} # SKIP {skipped}")
        return True
    if trouble is None:
        say(f"ok {label}")
        comment(f"{time.monotonic() - began:.1f} s")
        return True
    say(f"not ok {label}")
    comment(trouble)
    sources = proc.diary()
    for lines in sources[:SOURCES]:
        comment(lines.tail(15))
    if sources[SOURCES:]:
        comment(f"(and {len(sources) - SOURCES} more that said something)")
    return False


def cases(module):
    return [thing for name, thing in vars(module).items() if name.startswith("test_") and callable(thing)]


def main(module=None):
    """Run the calling program's cases and exit: 0, or 1 if any failed."""
    wanted = sys.argv[1:]
    chosen = [
        function for function in cases(module or sys.modules["__main__"])
        if not wanted or any(word in function.__name__ or word in title(function) for word in wanted)
    ]
    if wanted and not chosen:
        sys.exit(f"no case is called like {' or '.join(wanted)}")
    proc.exit_on_signals()
    sanitizers.collect()
    say("TAP version 13")
    say(f"1..{len(chosen)}")
    good = True
    try:
        for number, function in enumerate(chosen, 1):
            good = _run(number, function) and good
    except BaseException as error:
        say(f"Bail out! {type(error).__name__}")
        _clean_up()
        if isinstance(error, KeyboardInterrupt):
            sys.exit(130)
        raise
    sys.exit(0 if good else 1)
