"""Bodies with `Content-Type: application/yaml`: the library that reads them is imported with the first one.

Called by `strict` and `bodies`.
"""

from __future__ import annotations

from kubechain.resources.json import JsonValue


class BadManifest(ValueError):
    """The body is not one YAML document of plain data."""


def load(body: bytes, repeated: list[str]) -> JsonValue:
    """The first document's value; keys that come twice are reported with their line. Raises BadManifest."""
    from kubechain.server import yamltext

    return yamltext.load(body, repeated)
