"""The small programs of tests/tools."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def gre_send_path():
    path = Path(os.environ.get("GRE_SEND", ROOT / "build/tests/gre_send")).resolve()
    if not path.exists():
        raise RuntimeError(f"{path} is missing: build it first")
    return path


def gre_send(ns, *words, timeout=60):
    """Run gre_send in this namespace; answers how many packets went out."""
    return int(ns.run([gre_send_path(), *words], timeout=timeout).stdout)


def gre_send_start(ns, *words):
    """The same in the background: a proc.Proc."""
    return ns.popen([gre_send_path(), *map(str, words)], name="gre_send")
