"""Figures that tests measure, for whoever sums them up.

    figures.tell("hostile", bad_inputs=1200, bystander_sent=800, bystander_arrived=800)

prints "# figures: {...}" into the test's TAP, and appends the same line to build/log/figures/hostile.json: one JSON object
a line, from any number of programs at once. Whoever sums up a run empties that directory before it.
"""

import json
import os
from pathlib import Path

from . import tap
from .proxy import program

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / "build/log/figures"


def tell(topic, **figures):
    path = program()
    line = json.dumps({"topic": topic, "program": str(path.relative_to(ROOT) if ROOT in path.parents else path), **figures})
    tap.comment(f"figures: {line}")
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    fd = os.open(DIRECTORY / f"{topic}.json", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, line.encode() + b"\n")  # at once, so that lines of several programs do not mix
    finally:
        os.close(fd)


def read(topic):
    """All that was told."""
    path = DIRECTORY / f"{topic}.json"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
