"""The parts of deploy/chart/kubechain that follow from the program: Chart.yaml and the templates of all rights.

Called by `python -m kubechain.deploying.chart deploy/chart/kubechain` and by the test that holds the files
current. The other templates are written by hand, since they offer more than `kubechain install`; a test holds that
with the same settings both print the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from kubechain import __version__
from kubechain.deploying import manifests, rbac
from kubechain.deploying.settings import InstallSettings
from kubechain.resources.json import JsonObject

HEAD = "# Written by `make generate` from src/kubechain/deploying.\n"
_NAMES = "NAMES"
_SETTINGS = InstallSettings(
    namespace="{{ $.Release.Namespace }}",
    watch="{{ $.Values.watchNamespace }}",
    name='{{ include "kubechain.fullname" $ }}',
    service_account='{{ include "kubechain.account" $ }}',
)
"""Settings whose values Helm fills in: each stands in the YAML as a quoted string."""
_STRAY = """{{- if not (has $.Values.watchNamespace (list "" $namespace)) }}
{{- fail (printf "secrets.%s: the operator looks after %s alone" $namespace $.Values.watchNamespace) }}
{{- end }}
"""
_CHART: JsonObject = {
    "apiVersion": "v2",
    "name": "kubechain",
    "description": "The operator of KubeChain: long-lived AI agents as Kubernetes objects",
    "type": "application",
    "version": __version__,
    "appVersion": __version__,
    "kubeVersion": ">=1.31.0-0",
    "home": "https://github.com/humanlayer/kubechain",
    "keywords": ["agents", "llm", "operator"],
}


def files() -> dict[str, str]:
    """Path below the chart's folder -> content."""
    return {
        "Chart.yaml": HEAD + manifests.yaml_of(_CHART),
        "templates/rights.yaml": HEAD + _if(".Values.rbac.create", _rights()),
        "templates/roles.yaml": HEAD + _if(".Values.roles.create", _text(manifests.roles(_SETTINGS))),
    }


def write(folder: Path) -> None:
    """All of them below the chart's folder."""
    for path, content in files().items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")


def _rights() -> str:
    account = _SETTINGS.account
    there, everywhere = (
        _text([*rbac.operator(account, watch), *rbac.replicas(account, watch)]) for watch in (_SETTINGS.watch, "")
    )
    jobs, jobs_everywhere = (_text(rbac.containers(account, watch)) for watch in (_SETTINGS.watch, ""))
    pods = (_text(rbac.pods(account, watch)) for watch in (_SETTINGS.watch, ""))
    named = _text(rbac.secrets(account, [("{{ $namespace }}", _NAMES)]))
    named = named.replace(f"resourceNames:\n  - {_NAMES}\n", "resourceNames: {{ toJson (sortAlpha $names) }}\n")
    return (
        _if(".Values.watchNamespace", there, everywhere)
        + _if(".Values.containers.enabled", "---\n" + _if(".Values.watchNamespace", jobs, jobs_everywhere))
        + "{{- range $namespace, $names := .Values.secrets }}\n"
        + f"{_STRAY}---\n"
        + named
        + "{{- end }}\n"
        + _if(".Values.mcpPods", f"---\n{_if('.Values.watchNamespace', *pods)}")
    )


def _text(objects: Iterable[JsonObject]) -> str:
    return manifests.document(manifests.labelled(objects, _SETTINGS))


def _if(condition: str, then: str, otherwise: str = "") -> str:
    other = f"{{{{- else }}}}\n{otherwise}" if otherwise else ""
    return f"{{{{- if {condition} }}}}\n{then}{other}{{{{- end }}}}\n"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
