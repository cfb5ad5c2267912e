"""The kind of tool `function`: a Python function."""

from __future__ import annotations

from typing import Annotated

from kubechain.resources.limits import Resources
from kubechain.resources.model import doc
from kubechain.resources.reference import EnvVar
from kubechain.resources.toolkind import ToolKind


class FunctionTool(ToolKind, kw_only=True, gc=False):
    """A Python function. It runs in a tool process, never in the controller."""

    entrypoint: Annotated[
        str,
        doc(
            "module:function. Description and parameters come from its docstring and type hints.",
            pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$",
        ),
    ]
    env: Annotated[
        list[EnvVar], doc("The environment variables of the tool process. It gets no others.", max_length=100)
    ] = []
    resources: (
        Annotated[
            Resources,
            doc("What its tool process may use. Functions with the same variables and limits share a process."),
        ]
        | None
    ) = None
