"""Every `kubechain` command that a page, a help text or a message prints is one that the program has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from kubechain.cli.main import kubechain

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("kubechain-example/**/*.md")]
SOURCES = [*ROOT.glob("src/kubechain/**/*.py"), ROOT / "deploy/up", ROOT / "deploy/down"]
PRINTED = re.compile(r"(?:^|[`(|;&] *)kubechain (?P<words>[a-z][^`\n]*)", re.MULTILINE)
END = re.compile(r"[|;&#<>`)]|\\n|  ")
NO_COMMANDS = ("is", "in", "did", "runs", "objects", "answers")
"""What follows the name of the program in sentences and in the names of manifests."""


def printed(path: Path) -> list[list[str]]:
    """The words of each command in a file, up to a pipe, a comment or the end of the line."""
    found = []
    text = re.sub(r"\$\([^)]*\)", "VALUE", path.read_text("utf-8").replace("\\\n", " "))
    for match in PRINTED.finditer(text):
        words = END.split(match["words"])[0]
        try:
            found.append(shlex.split(words))
        except ValueError:  # a quote that ends on the next line
            found.append(words.replace('"', "").replace("'", "").split())
    return [words for words in found if words and words[0] not in NO_COMMANDS]


def complaint(words: list[str]) -> str:
    """What is wrong with a command; "" where nothing is."""
    command: click.Command = kubechain
    context = click.Context(kubechain)
    rest = [word.rstrip(".,:") for word in words]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        if found is None:
            return "" if command is not kubechain else f"no command {rest[0]}"
        command, rest = found, rest[1:]
    options = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {
        "--help",
        "-h",
        "--version",
    }
    if "--" in rest:  # what follows is the command line of another program
        rest = rest[: rest.index("--")]
    flags = [word.split("=")[0] for word in rest if re.match(r"-{1,2}[a-zA-Z]", word)]
    return ", ".join(f"{command.name} has no {flag}" for flag in flags if not _known(flag, options))


def _known(flag: str, options: set[str]) -> bool:
    """Whether it is an option, or a short one with its value right behind it (`-ojson`)."""
    return flag in options or (not flag.startswith("--") and flag[:2] in options)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_on_a_page_exists(page: Path) -> None:
    assert wrong(page) == {}


def test_every_command_in_a_message_a_help_text_or_a_script_exists() -> None:
    assert {str(path): found for path in SOURCES if (found := wrong(path))} == {}


def wrong(path: Path) -> dict[str, str]:
    """The commands in a file that cannot be used, with what is wrong with them."""
    return {" ".join(words): why for words in printed(path) if (why := complaint(words))}


def test_a_command_that_does_not_exist_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`kubechain fly`, `kubechain get llm --sideways | cat --x`\n\nkubechain wait a/b --for=delete\n"
    )
    assert [complaint(words) for words in printed(page)] == ["no command fly", "get has no --sideways", ""]
