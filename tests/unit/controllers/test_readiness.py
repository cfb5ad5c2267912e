"""When a status is written, and when it would say nothing new."""

from __future__ import annotations

from msgspec import Raw

from kubechain.controllers.setup.readiness import same
from kubechain.resources.mcpserver import MCPServerStatus, MCPTool


def discovered(schema: bytes) -> MCPServerStatus:
    return MCPServerStatus(tools=[MCPTool(name="add", input_schema=Raw(schema))])


def test_json_that_comes_back_with_its_keys_in_another_order_is_nothing_new() -> None:
    ours, theirs = b'{"type":"object","properties":{"a":{}}}', b'{"properties":{"a":{}},"type":"object"}'
    assert same(discovered(theirs), discovered(ours))
    assert not same(discovered(theirs), discovered(b'{"type":"object","properties":{"b":{}}}'))
