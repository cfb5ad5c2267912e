"""The tool calls of one reply, put together from pieces that servers mark in many ways.

reply.py uses it. Pure. A piece belongs to the call of its id or its index; where neither tells (every call has the
index 0, or none; ids are empty, missing or new in every piece) a name begins a new call once the arguments of the
last one are whole.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kubechain.providers.models import lenient
from kubechain.providers.models.chat.answer import AnyCall, given, place, word
from kubechain.resources.message import FunctionCall, RequestedCall

LONGEST_ID = 256
"""Characters of an id that is sent back as it came; a longer one gets an id of ours."""


class Taken:
    """One tool call as far as it has come."""

    def __init__(self, id_: str, name: str) -> None:
        self.id, self.name = id_, name
        self.pieces: list[str] = []
        self.extra: Raw | UnsetType = UNSET

    @property
    def arguments(self) -> str:
        """As the model wrote them; "" where it wrote none, or `null`."""
        text = lenient.arguments("".join(self.pieces))
        return "" if text.strip() in ("", "null") else text

    @property
    def whole(self) -> bool:
        """Whether the arguments so far are a JSON document; "" is none."""
        try:
            msgspec.json.decode(self.arguments, type=Raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        except RecursionError:
            return True  # as far as can be told
        return True


class Calls:
    """The calls of a reply in their order."""

    def __init__(self) -> None:
        self.all: list[Taken] = []
        self._by_index: dict[int, Taken] = {}

    def add(self, piece: AnyCall) -> bool:
        """Takes one call of a whole message, which is always a call of its own."""
        id_, name, arguments = _said(piece)
        self._extend(self._new(id_, name, None), id_, name, arguments, piece)
        return True

    def take(self, piece: AnyCall) -> bool:
        """Takes one piece of a stream; whether it says anything."""
        id_, name, arguments = _said(piece)
        index = place(piece.index)
        call = self._belongs(index, id_, name, arguments) or self._new(id_, name, index)
        self._extend(call, id_, name, arguments, piece)
        return bool(id_ or name or arguments)

    def _extend(self, call: Taken, id_: str, name: str, arguments: str, piece: AnyCall) -> None:
        call.id, call.name = call.id or id_, call.name or name
        if arguments:
            call.pieces.append(arguments)
        if isinstance(piece.extra_content, Raw) and given(piece.extra_content):
            call.extra = piece.extra_content.copy()

    def _new(self, id_: str, name: str, index: int | None) -> Taken:
        call = Taken(id_, name)
        self.all.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _belongs(self, index: int | None, id_: str, name: str, arguments: str) -> Taken | None:
        """The call that the piece goes on with; None where it begins another."""
        if index is not None:
            last = self._by_index.get(index)
        else:
            last = next((call for call in self.all if id_ and call.id == id_), None) or (
                self.all[-1] if self.all else None
            )
        if last is None or not name or not last.name:
            return last
        other = bool(id_) and id_ != last.id
        if name != last.name:
            return None
        if not last.arguments:
            return None if other else last
        if last.whole:
            return None if other or arguments else last
        return None if other and index is None else last

    def requested(self, earlier: int, complete: bool) -> list[RequestedCall]:
        """The calls as a message holds them; `earlier`: how many calls the conversation has already.

        Ids that are missing, repeated or endless are counted on from those of the conversation: call_03. No
        arguments are `{}`, but only where the reply is complete.
        """
        taken: set[str] = set()
        found = []
        for position, call in enumerate(self.all, 1):
            call.id = lenient.joined(call.id)
            if not call.id or call.id in taken or len(call.id) > LONGEST_ID:
                call.id = _free(f"call_{earlier + position:02d}", taken)
            taken.add(call.id)
            arguments = call.arguments or ("{}" if complete else "")
            function = FunctionCall(name=lenient.joined(call.name), arguments=arguments)
            found.append(RequestedCall(id=call.id, function=function))
        return found


def _free(wanted: str, taken: set[str]) -> str:
    while wanted in taken:
        wanted += "x"
    return wanted


def _said(piece: AnyCall) -> tuple[str, str, str]:
    """Id, name and arguments of a piece; arguments that come as an object are its text."""
    function = piece.function
    if function is None:
        return word(piece.id), "", ""
    return word(piece.id), word(function.name), word(function.arguments)
