"""An address with {name} in it, and the address that follows when arguments are filled in.

`http` and `openapi` call it. Pure. An argument can add to the segment of the path or the value of the query that
it stands in, and change nothing else of the address.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote

from msgspec import Struct
from yarl import URL

from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Terminal

_NAME = re.compile(r"\{([^{}/?#&]+)\}")
_LITERAL = "/?:@!$&'()*+,;=-._~%"


class Template(Struct, frozen=True):
    """`origin` is fixed. `pieces` alternate between literal text and the name of an argument."""

    origin: str
    pieces: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments in it, in order."""
        return tuple(dict.fromkeys(self.pieces[1::2]))

    def filled(self, encoded: Callable[[str], str]) -> URL:
        """The address with each argument in it, as `encoded` writes it. Raises ToolError."""
        out = [encoded(p) if at % 2 else p for at, p in enumerate(self.pieces)]
        path = "".join(out).partition("?")[0]
        if ".." in (segments := path.split("/")) or "." in segments:
            raise ToolError('an argument in the path cannot be "." or ".."')
        return URL(self.origin + "".join(out), encoded=True)


@lru_cache(maxsize=4096)
def template(url: str) -> Template:
    """Raises Terminal (InvalidURL) for what is no address, or has a brace that belongs to no name."""
    scheme, separator, rest = url.partition("://")
    at = next((i for i, c in enumerate(rest) if c in "/?#"), len(rest))
    try:
        origin = URL(f"{scheme}{separator}{rest[:at]}")
        usable = origin.scheme in ("http", "https") and bool(origin.host) and origin.user is None
    except ValueError:
        usable = False
    if not usable:
        raise Terminal(f"{url} is not an address such as https://host/path; correct it", reason="InvalidURL")
    pieces = _NAME.split(rest[at:].partition("#")[0])
    literals = pieces[0::2]
    if any(brace in literal for literal in literals for brace in "{}"):
        raise Terminal(f"{url} has a brace that belongs to no name; write it as %7B or %7D", reason="InvalidURL")
    pieces[0::2] = [quote(literal, safe=_LITERAL) for literal in literals]
    if not pieces[0].startswith("/"):
        pieces[0] = "/" + pieces[0]
    return Template(str(origin.origin()), tuple(pieces))
