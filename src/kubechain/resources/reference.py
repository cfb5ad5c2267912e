"""How one object names another: by name, in the same namespace, secrets by name and key."""

from __future__ import annotations

from typing import Annotated, Literal

from kubechain.resources.model import Model, Rule, doc

Name = Annotated[str, doc("Name of the object, in the same namespace.", min_length=1, max_length=253)]


class Reference(Model, kw_only=True, gc=False):
    """A reference to an object in the same namespace. A missing one is waited for."""

    name: Name


class SecretKeyRef(Model, kw_only=True, gc=False):
    """One key of a Secret in the same namespace."""

    name: Annotated[str, doc("Name of the Secret.", min_length=1, max_length=253)]
    key: Annotated[str, doc("Key in the Secret's data.", min_length=1, max_length=253)]


class ConfigMapKeyRef(Model, kw_only=True, gc=False):
    """One key of a ConfigMap in the same namespace."""

    name: Annotated[str, doc("Name of the ConfigMap.", min_length=1, max_length=253)]
    key: Annotated[str, doc("Key in the ConfigMap's data.", min_length=1, max_length=253)]


class SecretSource(Model, kw_only=True, gc=False):
    """Where a secret value comes from; the value itself never appears in an object of ours."""

    secret_key_ref: Annotated[SecretKeyRef, doc("The Secret and the key in it.")]


def _one_value(node: object, _: object) -> bool:
    return isinstance(node, dict) and ("value" in node) != ("valueFrom" in node)


class EnvVar(Model, kw_only=True, gc=False):
    """One variable of a tool process: a literal value or a key of a Secret."""

    rules = (Rule("has(self.value) != has(self.valueFrom)", "set one of value and valueFrom", _one_value),)

    name: Annotated[str, doc("Name of the variable.", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    value: Annotated[str, doc("Literal value.")] | None = None
    value_from: Annotated[SecretSource, doc("A key of a Secret.")] | None = None


class Header(Model, kw_only=True, gc=False):
    """One HTTP header: a literal value or a key of a Secret."""

    rules = (Rule("has(self.value) != has(self.valueFrom)", "set one of value and valueFrom", _one_value),)

    name: Annotated[str, doc("Name of the header.", min_length=1)]
    value: Annotated[str, doc("Literal value.")] | None = None
    value_from: Annotated[SecretSource, doc("A key of a Secret.")] | None = None


class LabelRequirement(Model, kw_only=True, gc=False):
    """One line of matchExpressions."""

    key: Annotated[str, doc("The label's key.", min_length=1)]
    operator: Annotated[Literal["In", "NotIn", "Exists", "DoesNotExist"], doc("How the label is compared.")]
    values: Annotated[list[str], doc("Values for In and NotIn; empty for Exists and DoesNotExist.")] = []


class LabelSelector(Model, kw_only=True, gc=False):
    """A standard label selector; the empty one matches everything."""

    match_labels: Annotated[dict[str, str], doc("Labels that must have exactly these values.")] = {}
    match_expressions: Annotated[list[LabelRequirement], doc("Further requirements, all of which hold.")] = []

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        if any(labels.get(k) != v for k, v in self.match_labels.items()):
            return False
        return all(_holds(r, labels) for r in self.match_expressions)


def _holds(requirement: LabelRequirement, labels: dict[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
