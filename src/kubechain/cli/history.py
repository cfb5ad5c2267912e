"""The whole conversation of a run: what moved out of its status, read back and put in front.

Used by `logs` and `describe`. Segments never change, so each is read once.
"""

from __future__ import annotations

from kubechain.cli.client import Client
from kubechain.cli.discover import Discovery
from kubechain.cli.objects import members, text
from kubechain.resources.json import JsonObject, JsonValue


class History:
    """Reads TranscriptSegments through one client."""

    def __init__(self, client: Client, known: Discovery) -> None:
        self._client = client
        self._known = known
        self._read: dict[str, JsonObject] = {}

    def whole(self, run: JsonObject) -> JsonObject:
        """The run with every message of its conversation in `status.messages`."""
        name, earlier = text(run, "status.history.last"), list[JsonValue]()
        if not name:
            return run
        while name:
            segment = self._segment(text(run, "metadata.namespace"), name)
            earlier = [*members(segment, "spec.messages"), *earlier]
            name = text(segment, "spec.previous")
        status = run["status"]
        messages: list[JsonValue] = [*earlier, *members(run, "status.messages")]
        return {**run, "status": {**(status if isinstance(status, dict) else {}), "messages": messages}}

    def _segment(self, namespace: str, name: str) -> JsonObject:
        if name not in self._read:
            path = self._known.find("transcriptsegments").path(namespace, name)
            self._read[name] = self._client.get(path)
        return self._read[name]
