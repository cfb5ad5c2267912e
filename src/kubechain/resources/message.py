"""One message of a conversation, as `status.messages` and `contextWindow` hold it."""

from __future__ import annotations

from typing import Annotated, Literal

from kubechain.resources.model import Model, doc

Role = Literal["system", "user", "assistant", "tool"]


class FunctionCall(Model, omit_defaults=False, kw_only=True, gc=False):
    """What the model wants to have called."""

    name: Annotated[str, doc("The tool's name, as the model was told it.")]
    arguments: Annotated[str, doc("The arguments as the model wrote them: JSON in a string.")] = ""


class RequestedCall(Model, omit_defaults=False, kw_only=True, gc=False):
    """One tool call that a model asked for."""

    id: Annotated[str, doc("The provider's id of this call; the tool's message repeats it.")]
    type: Annotated[Literal["function"], doc("Always `function`.")] = "function"
    function: Annotated[FunctionCall, doc("The tool and its arguments.")]


class Message(Model, kw_only=True, gc=False):
    """One message. Fields in the order in which people read them."""

    role: Annotated[Role, doc("Who speaks.")]
    content: Annotated[str, doc("The text; absent when the model only called tools.")] | None = None
    tool_calls: Annotated[list[RequestedCall], doc("Tools the model wants to have called, in order.")] = []
    tool_call_id: Annotated[str, doc("On role tool: the id of the call this answers.")] = ""
    name: Annotated[str, doc("Name of the speaker or the tool, where a provider wants it.")] = ""
    opaque: Annotated[
        str,
        doc(
            "What must be sent back to the provider byte for byte (reasoning signatures), as JSON in a string. "
            "Only KubeChain writes and reads it."
        ),
    ] = ""
