"""What servers write, as bytes; no process is started."""

import json

import pytest

from kubechain.providers.tools.mcp.messages import UNREADABLE, Answer, Fault, Lines, Notice, Question, messages

SILENT = "the server gave an error without a message"
DONE = Answer(3, {"content": []})
WHOLE = b'{"jsonrpc":"2.0","id":3,"result":{"content":[]}}'


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (WHOLE, [DONE]),
        (b"\xef\xbb\xbf" + WHOLE + b"\r", [DONE]),
        (b"Loading model ..." + WHOLE, [DONE]),
        (WHOLE + b" ready", [DONE]),
        (b"[" + WHOLE + b"," + WHOLE + b"]", [DONE, DONE]),
        (b'{"id":3,"result":{"content":[]}}', [DONE]),
        (b'{"result":{"content":[]},"jsonrpc":"2.0","id":3}', [DONE]),
        (b'{"jsonrpc":"2.0","id":3,"result":{"content":[]},"error":null}', [DONE]),
        (b'{"jsonrpc":"2.0","id":"a","result":"text"}', [Answer("a", "text")]),
        (b'{"jsonrpc":"2.0","id":3,"result":null}', [Answer(3, None)]),
        (b'{"jsonrpc":"2.0","id":true,"result":1}', [Answer(None, 1)]),
        (b'{"jsonrpc":"2.0","id":3,"error":{"code":-32000,"message":"no"}}', [Answer(3, Fault(-32000, "no"))]),
        (b'{"jsonrpc":"2.0","id":3,"error":{"code":"E1","message":"no"}}', [Answer(3, Fault(0, "no"))]),
        (b'{"jsonrpc":"2.0","id":null,"error":"plain"}', [Answer(None, Fault(0, "plain"))]),
        (b'{"jsonrpc":"2.0","id":3,"error":" "}', [Answer(3, Fault(0, '" "'))]),
        (b'{"jsonrpc":"2.0","id":3,"error":{"message":"\xe2\x80\xa8"}}', [Answer(3, Fault(0, SILENT))]),
        (b'{"jsonrpc":"2.0","id":9,"method":"ping"}', [Question(9, "ping")]),
        (b'{"jsonrpc":"2.0","method":"x","params":[1]}', [Notice("x", {})]),
        (b'{"jsonrpc":"2.0","id":3}', []),
        (b"INFO listening", []),
        (b"\x00\xff{]", []),
        (b"{'jsonrpc': '2.0'}", []),
        (b"[1, 2]", []),
    ],
)
def test_a_line_is_the_messages_in_it(line: bytes, found: list[object]) -> None:
    assert messages(line) == found


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (b"caf\xe9", "caf\ufffd"),
        (b"cut: \\ud83d", "cut: \ud83d"),
        (b"a\x01b", "a\x01b"),
        ("a\u2028b\u0085c".encode(), "a\u2028b\u0085c"),
    ],
)
def test_text_that_breaks_the_rules_of_json_is_read_all_the_same(written: bytes, text: str) -> None:
    assert messages(b'{"jsonrpc":"2.0","id":3,"result":"' + written + b'"}') == [Answer(3, text)]


def test_an_answer_that_cannot_be_read_is_an_error_for_the_call_that_waits_for_it() -> None:
    for line in (b'{"jsonrpc":"2.0","id":3,"result":{"con', b'{"id":3, "result":' + b"[" * 200_000):
        (answer,) = messages(line)
        assert isinstance(answer, Answer) and answer.id == 3
        assert isinstance(answer.result, Fault) and answer.result.code == UNREADABLE
    assert messages(b'{"jsonrpc":"2.0","result":{"id":3,"x":') == []  # an id inside of a result is nobody's


def test_what_is_nested_too_deeply_costs_nothing_that_stands_beside_it() -> None:
    deep = b'{"a":' * 5_000 + b'"]}"' + b"}" * 5_000
    (answer,) = messages(b'{"jsonrpc":"2.0","id":3,"result":[1,' + deep + b',{"b":' + deep + b'},"[",2]}')
    assert isinstance(answer, Answer) and isinstance(answer.result, list)
    one, first, second, bracket, two = answer.result
    assert (one, bracket, two) == (1, "[", 2)
    assert json.dumps(first).count('"a"') == json.dumps(second).count('"a"') + 1 < 200


def lines(*chunks: bytes, most: int = 1_000) -> list[bytes]:
    reader = Lines(most)
    return [line for chunk in chunks for line in reader.feed(chunk)]


def test_lines_are_split_on_lf_only_however_they_arrive() -> None:
    text = b"a\xe2\x80\xa8b\rc\r\n\n  \nd\n"
    assert lines(text) == lines(*(text[i : i + 1] for i in range(len(text)))) == [b"a\xe2\x80\xa8b\rc", b"d"]


def test_a_line_that_is_too_long_is_said_before_it_ends() -> None:
    with pytest.raises(OverflowError):
        lines(b"x" * 600, b"x" * 600)
    assert lines(b"x" * 600 + b"\n", b"x" * 600 + b"\n")


def test_a_message_spread_over_lines_is_one_and_one_that_never_ends_gives_way() -> None:
    pretty = json.dumps(json.loads(WHOLE), indent=2).encode()
    assert [m for line in lines(b"hello\n" + pretty + b"\nbye\n") for m in messages(line)] == [DONE]
    odd = json.dumps({"jsonrpc": "2.0", "id": 3, "result": "a } in { text"}, indent=2).encode()
    assert [m for line in lines(odd + b"\n") for m in messages(line)] == [Answer(3, "a } in { text")]
    assert lines(b"{\n" + WHOLE + b"\n") == [b"{", WHOLE]
    assert len(lines(b"{\n" + b"log [\n" * 5_000)) > 1_000
    assert lines(b"[INFO] begin {\n" + WHOLE + b"\n") == [b"[INFO] begin {", WHOLE]
