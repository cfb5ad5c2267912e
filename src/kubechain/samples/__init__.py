"""Ready-made tools: what a fresh store is given, and manifests to copy.

`kubechain up` and `make deploy-operator` apply `manifests()`; the other files of the folder `manifests` are for
people. Nothing here is special to the controllers.
"""

from __future__ import annotations

from kubechain.resources.json import JsonObject

READY_MADE = ("simple-echo-tool.yaml",)


def manifests(namespace: str = "default") -> list[JsonObject]:
    """The objects that a fresh store gets, in a namespace; "" leaves it to whoever applies them."""
    from importlib.resources import files

    from kubechain.resources import yamltext

    folder = files("kubechain.samples") / "manifests"
    texts = [(folder / name).read_text("utf-8") for name in READY_MADE]
    objects = [document for text in texts for document in yamltext.documents(text) if isinstance(document, dict)]
    for item in objects:
        metadata = item["metadata"]
        if isinstance(metadata, dict) and namespace:
            metadata["namespace"] = namespace
    return objects
