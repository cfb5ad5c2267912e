"""Bodies with `Content-Type: application/yaml`: the YAML library is imported for the first one.

Called by `strict` and `bodies`.
"""

from __future__ import annotations

from kubechain.resources.json import JsonValue


def load(body: bytes, repeated: list[str]) -> JsonValue:
    """The first document's value; keys that come twice are reported with their line. Raises NotYaml."""
    from kubechain.resources import yamltext

    return yamltext.first(body, repeated)
