"""`kubechain openapi import --dry-run`: the manifests that a document leads to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from kubechain.cli.main import main
from tests.parts.shop import document
from tests.unit.web.site import serving


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, objects by kind, and what was said on stderr."""
    code = main(["openapi", "import", *words, "--dry-run"])
    out, err = capsys.readouterr()
    return code, {made["kind"]: made for made in yaml.safe_load_all(out) if made}, err


def test_a_file_becomes_a_config_map_a_secret_to_fill_in_and_a_tool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(document(1)))
    code, made, said = printed(capsys, str(file), "--include", "get*", "--include", "uploadPicture")
    assert (code, list(made)) == (0, ["ConfigMap", "Secret", "Tool"])
    assert json.loads(made["ConfigMap"]["data"]["openapi"]) == document(1)
    assert made["Secret"]["stringData"] == dict.fromkeys(("key", "machine-id", "machine-secret"), "REPLACE-ME")
    spec = made["Tool"]["spec"]["openapi"]
    assert spec["documentFrom"] == {"configMapKeyRef": {"name": "shop", "key": "openapi"}}
    assert spec["include"] == ["get*", "uploadPicture"]
    assert spec["auth"]["key"] == {"secretKeyRef": {"name": "shop", "key": "key"}}
    assert "10 operations become tools" in said
    assert "uploadPicture is left out: it takes a file upload" in said


async def test_an_address_is_named_and_read_again_by_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(document(1))

    async with serving(answer) as site:
        words = (capsys, f"{site.url}/openapi.json", "--name", "mine", "--server", "https://example.com")
        code, made, _ = await asyncio.to_thread(printed, *words)
    assert (code, list(made)) == (0, ["Secret", "Tool"])
    spec = made["Tool"]["spec"]["openapi"]
    assert (spec["documentFrom"], spec["server"]) == ({"url": f"{site.url}/openapi.json"}, "https://example.com")


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "cannot be read"), ("swagger: '2.0'", "convert it to OpenAPI"), ("{}", "3.0 and 3.1 can be read")],
)
def test_what_is_no_document_is_refused_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    file = tmp_path / "shop.yaml"
    if text is not None:
        file.write_text(text)
    code, made, complained = printed(capsys, str(file))
    assert (code, made) == (1, {})
    assert said in complained
