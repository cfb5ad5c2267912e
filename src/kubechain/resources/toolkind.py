"""What every kind of tool has in common: a part of a Tool's spec, and the variables that it needs.

`tool.py` has the table of kinds; each is a subclass in a module of its own, `tool_<kind>.py`.
"""

from __future__ import annotations

from kubechain.resources.effect import Effect
from kubechain.resources.model import Model
from kubechain.resources.reference import ConfigMapKeyRef, EnvVar

CONFIG, CONFIG_VERSION = "config", "config.version"
"""Names of the values of a ConfigMap in `ToolRun.env`: the text, and what tells one version of it from another."""


class ToolKind(Model, kw_only=True, gc=False):
    """What a Tool holds under `spec.<kind>`."""

    @property
    def variables(self) -> list[EnvVar]:
        """Named values that its runner gets with every call, those of Secrets filled in (`ToolRun.env`).

        For a kind with a process these are its environment; others name what they need, such as a header or a
        token. A value that comes from a Secret is hidden from results, errors, Events and logs.
        """
        env: list[EnvVar] = getattr(self, "env", [])
        return env

    @property
    def config_map(self) -> ConfigMapKeyRef | None:
        """A text in a ConfigMap that its runner gets with every call, as CONFIG and CONFIG_VERSION."""
        return None

    @property
    def default_effect(self) -> Effect:
        """What a repeated call does, where the Tool states no effect."""
        return "NonIdempotent"

    @property
    def many(self) -> bool:
        """Whether it offers several tools, listed in `status.tools`."""
        return False
