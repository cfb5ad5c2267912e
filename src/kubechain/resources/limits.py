"""What the processes of a tool may use. `Tool` and `MCPServer` have it in their specs."""

from __future__ import annotations

from typing import Annotated

from kubechain.resources.model import Model, doc
from kubechain.resources.quantity import CPU_PATTERN, MEMORY_PATTERN


class Limits(Model, kw_only=True, gc=False):
    """The most that may be used; what is not set is not limited."""

    cpu: Annotated[str, doc("CPUs, as in 500m or 2.", pattern=CPU_PATTERN, max_length=20)] | None = None
    memory: Annotated[str, doc("Memory, as in 256Mi or 1G.", pattern=MEMORY_PATTERN, max_length=20)] | None = None


class Resources(Model, kw_only=True, gc=False):
    """Compute resources, as in a container of a pod."""

    limits: Annotated[Limits, doc("The most that may be used.")] | None = None
