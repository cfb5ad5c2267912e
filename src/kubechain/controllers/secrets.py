"""Secrets, read at the moment of use: environments of tool processes, keys and headers of models.

Values go only to the provider that needs them. If one is missing, the error names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from kubechain.agents.ports.model import Endpoint
from kubechain.agents.ports.tool import Provider
from kubechain.controllers.caches import Caches
from kubechain.errors import Forbidden
from kubechain.resources.builtin import Secret
from kubechain.resources.llm import LLM
from kubechain.resources.model import Resource
from kubechain.resources.reference import ConfigMapKeyRef, EnvVar, Header, SecretKeyRef
from kubechain.resources.tool import Tool
from kubechain.resources.toolkind import CONFIG, CONFIG_VERSION
from kubechain.runtime.api import Key
from kubechain.runtime.named import NamedInformer


class Missing(Struct, frozen=True):
    """A Secret, or a key in it, that does not exist yet. The sentence names it and says what to do."""

    reason: str
    detail: str


async def secret_value(namespace: str, ref: SecretKeyRef, secrets: NamedInformer[Secret]) -> str | Missing:
    """The text under a key of a Secret."""
    try:
        secret = await secrets.read(Key(namespace, ref.name))
    except Forbidden as error:
        return Missing("SecretForbidden", refused(namespace, ref.name, str(error)))
    if secret is None:
        return Missing("SecretNotFound", f'Secret "{ref.name}" not found; create it with a key "{ref.key}"')
    value = secret.value(ref.key)
    if value is None:
        return Missing("SecretKeyNotFound", f'Secret "{ref.name}" has no key "{ref.key}"; add it')
    return value


async def named_values(
    namespace: str, variables: Iterable[EnvVar] | Iterable[Header], secrets: NamedInformer[Secret]
) -> dict[str, str] | Missing:
    """Names and values with secrets filled in, or the first that is missing."""
    values: dict[str, str] = {}
    for variable in variables:
        if variable.value_from is None:
            values[variable.name] = variable.value or ""
            continue
        found = await secret_value(namespace, variable.value_from.secret_key_ref, secrets)
        if isinstance(found, Missing):
            return found
        values[variable.name] = found
    return values


async def provider_values(provider: Provider, caches: Caches) -> dict[str, str] | Missing:
    """Everything that a provider's runner gets with every call: its variables, and its text in a ConfigMap."""
    namespace = provider.metadata.namespace
    values = await named_values(namespace, provider.env, caches.secrets)
    if isinstance(values, Missing) or not isinstance(provider, Tool) or provider.config_map is None:
        return values
    text = await _config(namespace, provider.config_map, caches)
    return text if isinstance(text, Missing) else {**values, **text}


async def _config(namespace: str, ref: ConfigMapKeyRef, caches: Caches) -> dict[str, str] | Missing:
    """A text in a ConfigMap, and its version."""
    try:
        found = await caches.config_maps.read(Key(namespace, ref.name))
    except Forbidden as error:
        return Missing("ConfigMapForbidden", refused(namespace, ref.name, str(error), "ConfigMap"))
    if found is None:
        return Missing("ConfigMapNotFound", f'ConfigMap "{ref.name}" not found; create it with a key "{ref.key}"')
    if ref.key not in found.data:
        return Missing("ConfigMapKeyNotFound", f'ConfigMap "{ref.name}" has no key "{ref.key}"; add it')
    return {CONFIG: found.data[ref.key], CONFIG_VERSION: version_of(found)}


async def endpoint_of(
    llm: LLM, secrets: NamedInformer[Secret], base_urls: Mapping[str, str]
) -> Endpoint | Missing:
    """The address and key with which the LLM is called.

    `base_urls` (by provider) are used if the LLM has none.
    """
    namespace, key = llm.metadata.namespace, ""
    if llm.spec.api_key_from is not None:
        found = await secret_value(namespace, llm.spec.api_key_from.secret_key_ref, secrets)
        if isinstance(found, Missing):
            return found
        key = found.strip()
    headers = await named_values(namespace, llm.spec.headers, secrets)
    if isinstance(headers, Missing):
        return headers
    bundle = llm.spec.ca_bundle or ""
    if llm.spec.ca_bundle_from is not None:
        more = await secret_value(namespace, llm.spec.ca_bundle_from.secret_key_ref, secrets)
        if isinstance(more, Missing):
            return more
        bundle = f"{bundle}\n{more}"
    base_url = llm.spec.parameters.base_url or base_urls.get(llm.spec.provider)
    return Endpoint(llm, api_key=key, headers=tuple(headers.items()), base_url=base_url, ca_bundle=bundle)


def refused(namespace: str, name: str, said: str, kind: str = "Secret") -> str:
    """What to do about a Secret or ConfigMap that the API server does not let us read; `said` is its message."""
    found = re.search(r'[Uu]ser "([^"]+)"', said)
    user = found[1] if found else "USER"
    account = re.fullmatch(r"system:serviceaccount:([^:]+):([^:]+)", user)
    subject = f"--serviceaccount={account[1]}:{account[2]}" if account else f"--user={user}"
    named = f"kubechain-{kind.lower()}-{name}"
    role = f"{named} -n {namespace}"
    return (
        f'{kind} "{name}" in namespace "{namespace}" may not be read by {user}; allow it: '
        f"kubectl create role {role} --verb=list,watch --resource={kind.lower()}s --resource-name={name} && "
        f"kubectl create rolebinding {role} --role={named} {subject}"
    )


def versions(namespace: str, names: Iterable[str], secrets: NamedInformer[Secret]) -> str:
    """A fingerprint of Secrets that changes when any of them does."""
    found = [secrets.get(Key(namespace, name)) for name in names]
    return ",".join(version_of(s) for s in found if s is not None)


def version_of(obj: Resource) -> str:
    """What tells one version of an object from another, even if it was deleted and created in between."""
    return f"{obj.metadata.uid[:8]}.{obj.metadata.resource_version}"
