"""Arguments with types that only pydantic supports: its models, its `Field`, constraints, paths and addresses.

`signature` imports it where msgspec cannot describe a function, so that a tool process whose functions need no
pydantic never loads it. It runs in the tool process.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import PydanticJsonSchemaWarning

from kubechain.resources.json import JsonObject

_SHOWN = 10


class PydanticArguments:
    """The arguments of one function; raises TypeError if pydantic does not support them either."""

    def __init__(self, parameters: Sequence[inspect.Parameter], hints: Mapping[str, Any]) -> None:
        # Fields have names of our own, since pydantic keeps some for itself; the parameter's is the alias.
        self._names = {f"p{number}": parameter.name for number, parameter in enumerate(parameters)}
        fields: dict[str, Any] = {
            f"p{number}": (hints[parameter.name], _field(parameter)) for number, parameter in enumerate(parameters)
        }
        try:
            self._model = create_model("Arguments", __config__=ConfigDict(extra="forbid"), **fields)
            self.schema = Raw(msgspec.json.encode(_schema(self._model)))
        except (PydanticUserError, TypeError, ValueError) as error:
            raise TypeError(str(error).splitlines()[0]) from error

    def bind(self, document: str) -> dict[str, object]:
        """The arguments that were given, by name. Raises ValueError, its text for the model."""
        try:
            given: BaseModel = self._model.model_validate_json(document)
        except ValidationError as error:
            raise ValueError(_told(error)) from error
        return {self._names[field]: getattr(given, field) for field in given.model_fields_set}


def _field(parameter: inspect.Parameter) -> FieldInfo:
    made: FieldInfo
    if parameter.default is parameter.empty:
        made = Field(alias=parameter.name)
    else:
        made = Field(alias=parameter.name, default=parameter.default)
    return made


def _schema(model: type[BaseModel]) -> JsonObject:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PydanticJsonSchemaWarning)  # a default without a JSON form is left out
        schema: JsonObject = json.loads(json.dumps(model.model_json_schema()))
    schema.pop("title", None)
    properties = schema.get("properties")
    for node in properties.values() if isinstance(properties, dict) else ():
        if isinstance(node, dict):
            node.pop("title", None)
            if node.get("default", "") is None:
                del node["default"]  # says nothing to a model that the missing `required` does not say
    return schema


def _told(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    parts = [f"{'.'.join(map(str, one['loc'])) or 'the arguments'}: {one['msg']}" for one in found[:_SHOWN]]
    return "; ".join(parts) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
