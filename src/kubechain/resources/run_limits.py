"""Limits of a run. An Agent, a Task and a TaskRun may each set them; the strictest one applies.

In this version: how deep, and how widely, a run may call sub-agents.
"""

from __future__ import annotations

from typing import Annotated

from kubechain.resources.model import Model, doc

DEPTH = 5
"""Levels of sub-agents below a run where nothing is stated."""
FAN_OUT = 20
"""Sub-agents that one reply may call where nothing is stated."""


class Limits(Model, kw_only=True, gc=False):
    """How deep and how widely a run may call sub-agents."""

    sub_agent_depth: (
        Annotated[
            int,
            doc("Levels of sub-agents that may be below the run; 0: it calls none. Default 5.", ge=0, le=50),
        ]
        | None
    ) = None
    sub_agent_fan_out: (
        Annotated[int, doc("How many sub-agents one reply of the model may call. Default 20.", ge=0, le=1000)]
        | None
    ) = None
