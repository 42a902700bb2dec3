"""A directory for what a test writes.

    with Directory() as directory:
        (directory / "conf").write_text("proxy 10.2.0.10\n")
"""

import shutil
import tempfile
from pathlib import Path

from .netns import RUN_PREFIX


class Directory:
    """Gone when it is closed; another run removes what one left that was killed. mode: 0o755 lets everybody in."""

    def __init__(self, mode=0o700):
        self.path = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
        self.path.chmod(mode)

    def __truediv__(self, name):
        return self.path / name

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
