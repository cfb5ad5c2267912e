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

    import yaml

    folder = files("kubechain.samples") / "manifests"
    objects: list[JsonObject] = [
        document for name in READY_MADE for document in yaml.safe_load_all((folder / name).read_text("utf-8"))
    ]
    for item in objects:
        metadata = item["metadata"]
        if isinstance(metadata, dict) and namespace:
            metadata["namespace"] = namespace
    return objects
