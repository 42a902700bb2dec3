"""A page of docs/ as a script: what it says to write and to run, on which machine, and what it says comes of it.

A block's first line says what it is; renderers show only its first word:

    ```conf MACHINE:/path        a file
    ```sh MACHINE [MACHINE ...]  commands, run as root
    ```text MACHINE              what the commands before it, or a log of that machine, say; … stands for anything
    ```                          anything else is for the reader alone
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+) ([\w.-]+(?: [\w.-]+)*)(?::(\S+))?\n(.*?)^```$", re.M | re.S)


@dataclass
class Block:
    kind: str  # conf, sh, text
    machines: list
    path: str  # of a file, else None
    text: str


def blocks(page):
    """The page's blocks that a machine is named in, in their order."""
    found = []
    for one in BLOCK.finditer((ROOT / "docs" / page).read_text()):
        kind, machines, path, text = one.groups()
        assert kind in ("conf", "sh", "text") and (kind == "conf") == (path is not None), f"{page}: {one[0].splitlines()[0]}"
        found.append(Block(kind, machines.split(), path, text))
    assert found, f"{page} has nothing to try"
    return found


def patterns(text):
    """A regular expression for each line of a text block."""
    return [".*".join(re.escape(part.strip()).replace(r"\ ", r"\s+") for part in line.split("…"))
            for line in text.splitlines() if line.strip()]


def carry_out(page, machines):
    """Do what the page says. machines: name -> object with write(path, text), run(commands) and said(pattern), which
    returns once that has been said, and raises where it is not."""
    for block in blocks(page):
        for name in block.machines:
            assert name in machines, f"{page}: no machine '{name}'"
            machine = machines[name]
            if block.kind == "conf":
                machine.write(block.path, block.text)
            elif block.kind == "sh":
                machine.run(block.text.replace("\\\n", " "))
            else:
                for pattern in patterns(block.text):
                    machine.said(pattern)
