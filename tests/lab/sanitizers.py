"""What sanitizers report, of every process of a run, also of those whose standard error leads nowhere: daemons.

collect() has all that start from then on write their reports to files of this run; taken() answers the reports since
the last time. tap.py does both: a report fails the case that it came in.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from .netns import RUN_PREFIX

_directory = None


def collect():
    global _directory
    _directory = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
    atexit.register(shutil.rmtree, _directory, ignore_errors=True)
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
        before = os.environ.get(name)
        os.environ[name] = (before + ":" if before else "") + f"log_path={_directory}/report"


def taken():
    """The reports' text; each is answered once. Ask when the processes have ended, or one may be half written."""
    texts = []
    for path in sorted(_directory.iterdir()) if _directory else []:
        texts.append(f"{path.name}:\n{path.read_text(errors='backslashreplace')}")
        path.unlink()
    return "\n".join(texts)
