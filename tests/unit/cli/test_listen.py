"""`kubechain operator --listen`: addresses as people write them."""

from __future__ import annotations

import socket

import pytest

from kubechain.cli import operator
from kubechain.cli.main import main


@pytest.mark.parametrize(
    ("text", "address"),
    [("0.0.0.0:8080", ("0.0.0.0", 8080)), ("[::1]:80", ("::1", 80)), ("localhost:0", ("localhost", 0))],
)
def test_an_address_is_read_as_it_is_written(text: str, address: tuple[str, int]) -> None:
    assert operator._address(text) == address


@pytest.mark.parametrize("text", ["8080", ":8080", "localhost:http", "127.0.0.1:65536"])
def test_what_is_no_address_is_refused_before_anything_starts(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["operator", "--listen", text]) == 2
    assert "is not ADDRESS:PORT, as in 0.0.0.0:8080" in capsys.readouterr().err


def test_a_second_operator_on_the_machine_takes_a_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(operator, "PORT", taken.getsockname()[1])
        assert operator._default_address() == ("127.0.0.1", 0)
