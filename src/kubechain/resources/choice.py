"""A choice of tools by name, where a manifest has lists of names and globs. Pure.

`*` stands for any text, `?` for one character and `[ab]` for one of those. What is left out is left out, whatever
else says that it is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated

from kubechain.resources.model import doc

Glob = Annotated[str, doc("A name, or a pattern with *, ? and [ab].", min_length=1, max_length=253)]


def matches(name: str, globs: Sequence[str]) -> bool:
    """Whether one of the patterns stands for the name."""
    return any(fnmatchcase(name, glob) for glob in globs)


def chosen(name: str, take: Sequence[str], leave: Sequence[str] = ()) -> bool:
    """Whether the tool is taken and not left out; an empty list of what to take takes everything."""
    return (not take or matches(name, take)) and not matches(name, leave)
