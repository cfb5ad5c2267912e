"""The rules of the documentation that a machine can hold: short, current, linked, and silent about its makers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kubechain.app.metrics import FAMILIES
from kubechain.cli import commands_page
from kubechain.deploying import reference_page
from kubechain.resources.registry import OURS
from kubechain.runtime.metrics import Family

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "kubechain"
SAMPLES = SOURCE / "samples"
EXAMPLES = ROOT / "kubechain-example"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *EXAMPLES.rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
TELLING = {"Verdict": 1, "Missing": 0, "normal": 2, "warning": 2, "NoFunction": 0, "_error": 2, "_condition": 2}
"""Calls that take a reason by position, and which position."""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown page's headings get."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_the_readme_is_short_and_has_something_running_by_line_25() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) < 120
    first_commands = [line.split("#")[0].strip() for line in lines if line.startswith("make ")][:2]
    assert first_commands == ["make demo", "make test"]
    assert any(line.startswith("kubectl wait") for line in lines[:25])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_page_is_wider_than_people_read(page: Path) -> None:
    wide = [line for line in page.read_text("utf-8").splitlines() if len(line) > 130 and not line.startswith("|")]
    assert not wide


def test_the_reference_is_the_one_the_models_give() -> None:
    written = (DOCS / "reference.md").read_text("utf-8")
    assert written == reference_page.document(), (
        "run `python -m kubechain.deploying.reference_page docs/reference.md`"
    )


def test_the_commands_are_those_of_the_program() -> None:
    written = (DOCS / "commands.md").read_text("utf-8")
    assert written == commands_page.document(), "run `python -m kubechain.cli.commands_page docs/commands.md`"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_every_metric_is_documented_as_it_is(family: Family) -> None:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    row = f"| `{family.name}` | {family.type} | {labels} | {family.help} |"
    assert row in (DOCS / "metrics.md").read_text("utf-8").splitlines()


def test_every_decision_is_listed_and_has_its_four_parts() -> None:
    listed = (DOCS / "decisions" / "README.md").read_text("utf-8")
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    assert pages
    for number, page in enumerate(pages, start=1):
        text = page.read_text("utf-8")
        assert page.name.startswith(f"{number:04}-") and page.name in listed
        for part in ("**Example.**", "**Choice.**", "**Cost.**", "**What would change our mind.**"):
            assert part in text, f"{page.name} lacks {part}"


def test_every_kind_is_explained_in_concepts() -> None:
    concepts = (DOCS / "concepts.md").read_text("utf-8")
    assert not [kind.kind for kind in OURS if kind.kind not in concepts]


def test_every_reason_is_documented() -> None:
    page = (DOCS / "reasons.md").read_text("utf-8")
    found = {reason for room in ("agents", "controllers", "providers") for reason in reasons(SOURCE / room)}
    assert len(found) > 20, "the reasons are found no more: look at TELLING"
    assert not [reason for reason in sorted(found) if f"`{reason}`" not in page]


def reasons(room: Path) -> Iterator[str]:
    """Every literal reason that code below the folder gives."""
    for module in room.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given: list[ast.expr] = [k.value for k in node.keywords if k.arg == "reason"]
            if (at := TELLING.get(called)) is not None:
                given += node.args[at : at + 1]
            for value in given:
                choices = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
                words = [c.value for c in choices if isinstance(c, ast.Constant)]
                yield from (w for w in words if isinstance(w, str) and re.fullmatch(r"[A-Z][A-Za-z]+", w))


@pytest.mark.parametrize("name", ["llm", "agent", "task", "taskrun"])
def test_the_walk_through_is_the_same_in_every_place(name: str) -> None:
    manifest = (EXAMPLES / "walkthrough" / f"{name}.yaml").read_text("utf-8")
    assert manifest == (SAMPLES / "walkthrough" / f"{name}.yaml").read_text("utf-8")
    assert f"<<EOF | kubectl apply -f -\n{manifest}EOF" in (DOCS / "start.md").read_text("utf-8")


@pytest.mark.parametrize(("example", "sample"), [("server", "mcp-server"), ("agent", "mcp-agent")])
def test_the_mcp_example_is_the_sample_that_comes_with_the_program(example: str, sample: str) -> None:
    written = yaml.safe_load_all((EXAMPLES / "mcp" / f"{example}.yaml").read_text("utf-8"))
    assert list(written) == list(yaml.safe_load_all((SAMPLES / "manifests" / f"{sample}.yaml").read_text("utf-8")))


def test_the_current_version_is_in_the_changelog() -> None:
    from kubechain import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
