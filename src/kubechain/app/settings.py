"""The settings of `kubechain up`, and those of both ways of running. Created by the CLI and by tests.

`OperatorSettings` is in `operator`, so that `kubechain up` does not load the client of a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct


class ProviderSettings(Struct, frozen=True):
    """The providers, for both ways of running: models and functions.

    `model` "scripted" answers LLMs that name no baseURL, after `model_delay` seconds each; `base_urls` (by
    provider) stand in where an LLM names none; `functions` are folders with users' functions. `tool_host` is the
    socket at which the program expects the tool host that runs its tool processes; None: it runs them itself.
    """

    model: str = ""
    model_delay: float = 0.0
    base_urls: Mapping[str, str] = {}
    functions: tuple[Path, ...] = ()
    tool_host: Path | None = None

    @property
    def scripted(self) -> bool:
        return self.model == "scripted"


class EmbeddedSettings(Struct, frozen=True):
    """`kubechain up`. `state` is the folder that holds everything; `port` 0 picks a free one.

    `bare`: without the sample tools. `container_engine`: podman or docker; "" for the one that is found.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 0
    bare: bool = False
    container_engine: str = ""
    providers: ProviderSettings = ProviderSettings()
