"""Functions in real tool processes."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.function import function_process
from kubechain.providers.tools.function.calls import FunctionCall
from kubechain.providers.tools.function.function_server import THREADS
from kubechain.providers.tools.function.functions import Functions
from kubechain.providers.tools.result import MAX_RESULT_BYTES
from tests.unit.tools.processes import ended, heard, pipe, said

FOLDER = Path(__file__).parent / "fixtures"
ECHO = "kubechain.samples.echo:simple_echo"


@pytest.fixture
async def functions() -> AsyncIterator[Functions]:
    runner = Functions([FOLDER])
    yield runner
    await runner.close()


def call(
    name: str, timeout: float = 20, env: dict[str, str] | None = None, key: str = "", **arguments: object
) -> FunctionCall:
    entrypoint = name if ":" in name else f"tricks:{name}"
    return FunctionCall(entrypoint, json.dumps(arguments).encode(), timeout, env or {}, key)


async def test_the_sample_function_says_what_it_is_and_echoes(functions: Functions) -> None:
    found = await functions.inspect(ECHO, {})
    assert found.description == "Echo a message back to the user."
    assert json.loads(bytes(found.parameters)) == {
        "type": "object",
        "properties": {"message": {"type": "string", "description": "The text to echo."}},
        "required": ["message"],
        "additionalProperties": False,
    }
    assert await functions.call(call(ECHO, message="Hello, World!")) == "Echo: Hello, World!"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (b"{}", "missing required field `message`"),
        (b'{"message": 1}', "Expected `str`, got `int` - at `$.message`"),
        (b'{"message": "a", "loud": true}', "unknown field `loud`"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{", "truncated"),
        (b"\xff", "JSON is malformed"),
    ],
)
async def test_arguments_that_do_not_fit_are_told_to_the_model_with_the_schema(
    functions: Functions, arguments: bytes, says: str
) -> None:
    with pytest.raises(ToolError) as raised:
        await functions.call(FunctionCall(ECHO, arguments, 20))
    assert says in str(raised.value)
    assert '"required":["message"]' in str(raised.value)


async def test_types_reach_the_function_and_other_results_become_json(functions: Functions) -> None:
    result = json.loads(
        await functions.call(call("many", text="a", count=2, place={"latitude": 1, "longitude": 2}))
    )
    assert result == {"text": "a", "count": 2, "latitude": 1.0, "ratio": 0.5, "tags": None, "unit": "km"}
    with pytest.raises(ToolError, match=r"at `\$.place.latitude`"):
        await functions.call(call("many", text="a", count=2, place={"latitude": "north", "longitude": 2}))


async def test_two_calls_at_the_same_time_overlap_in_one_worker(functions: Functions) -> None:
    pids = await asyncio.gather(functions.call(call("meet")), functions.call(call("meet")))
    assert len(set(pids)) == 1
    both = await asyncio.gather(functions.call(call("await_meeting")), functions.call(call("arrange_meeting")))
    assert list(both) == ["met", "arranged"]


async def test_each_environment_has_a_worker_of_its_own(functions: Functions) -> None:
    one = await functions.call(call("pid"))
    assert await functions.call(call("pid")) == one
    assert await functions.call(call("pid", env={"A": "1"})) != one


async def test_a_worker_sees_its_own_environment_and_nothing_of_ours(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ours")
    monkeypatch.setenv("PYTHONPATH", "/ours")
    seen = json.loads(await functions.call(call("environment", env={"TOKEN": "theirs", "HOME": "/else"})))
    assert set(seen) == {"PATH", "HOME", "LANG", "TOKEN"}
    assert (seen["TOKEN"], seen["HOME"], seen["LANG"]) == ("theirs", "/else", "C.UTF-8")
    assert seen["PATH"].split(":")[0] == str(Path(sys.executable).parent)


async def test_a_worker_killed_in_the_middle_of_a_call_costs_that_call_and_the_next_one_works(
    functions: Functions, tmp_path: Path
) -> None:
    place = pipe(tmp_path, "pid")
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(_error(functions, call("say_pid_and_hang", pipe=str(place))))
        pid = int(await heard(place))
        os.kill(pid, signal.SIGKILL)
    error = hanging.result()
    assert isinstance(error, Transient)
    assert "tricks:say_pid_and_hang" in str(error) and "killed by SIGKILL" in str(error)
    assert int(await functions.call(call("pid"))) != pid


async def test_a_hung_function_costs_only_itself_and_its_worker_goes_when_the_others_are_through(
    functions: Functions, tmp_path: Path
) -> None:
    started, gate = pipe(tmp_path, "started"), pipe(tmp_path, "gate")
    async with asyncio.TaskGroup() as group:
        other = group.create_task(functions.call(call("say_pid_and_wait", here=str(started), there=str(gate))))
        pid = int(await heard(started))
        place = pipe(tmp_path, "pid")
        late = group.create_task(_error(functions, call("say_pid_and_hang", timeout=0.5, pipe=str(place))))
        assert int(await heard(place)) == pid
        error = await late
        assert isinstance(error, Transient) and "did not answer within 0.5 s" in str(error)
        assert int(await functions.call(call("pid"))) != pid
        assert not other.done()
        await said(gate)
    assert int(other.result()) == pid
    await ended(pid)


async def test_an_async_function_that_times_out_is_cancelled_and_its_worker_stays(
    functions: Functions, tmp_path: Path
) -> None:
    place = pipe(tmp_path, "pid")
    pid = int(await functions.call(call("pid")))  # the worker is there: what is timed is the call alone
    async with asyncio.TaskGroup() as group:
        late = group.create_task(_error(functions, call("sleep_for_ever", timeout=0.5, pipe=str(place))))
        assert int(await heard(place)) == pid
    assert isinstance(late.result(), Transient)
    assert int(await functions.call(call("pid"))) == pid


async def test_more_calls_than_a_worker_has_threads_wait_for_one_and_those_given_up_never_run(
    functions: Functions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function_process, "CANCEL_SECONDS", 20)  # a busy machine answers late
    gate = os.open(pipe(tmp_path, "gate"), os.O_RDWR)
    pid = await functions.call(call("pid"))  # the worker is there: what is timed is the calls alone
    async with asyncio.TaskGroup() as group:
        busy = [group.create_task(functions.call(call("take", pipe=f"{tmp_path}/gate"))) for _ in range(THREADS)]
        late = group.create_task(_error(functions, call("touch", timeout=0.5, file=f"{tmp_path}/touched")))
        waiting = group.create_task(functions.call(call("pid", timeout=30)))
        assert isinstance(await late, Transient)
        assert not waiting.done() and not any(task.done() for task in busy)
        os.write(gate, b"." * THREADS)
    os.close(gate)
    assert {task.result() for task in busy} == {"."}
    assert waiting.result() == pid == await functions.call(call("pid")), (
        "giving up what had not begun costs no worker"
    )
    assert not (tmp_path / "touched").exists()


async def test_what_a_function_prints_goes_to_the_log_and_never_into_the_result(functions: Functions) -> None:
    with structlog.testing.capture_logs() as logs:
        assert await functions.call(call("noise", env={"TOKEN": "to stderr"})) == "quiet"
        await functions.close()
    lines = [str(entry["line"]) for entry in logs]
    assert max(map(len, lines)) == 1000 and sum(map(len, lines)) < 200_000
    assert "[redacted]" in lines and not any("to stderr" in line for line in lines)
    assert {entry["log_level"] for entry in logs} == {"info"}


@pytest.mark.parametrize("name", ["speak", "speak_later"])
async def test_what_is_printed_is_told_apart_by_call(functions: Functions, name: str) -> None:
    with structlog.testing.capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            for run in ("r1", "r2"):
                arguments = json.dumps({"text": f"of {run}"}).encode()
                about = {"tool": "speaker", "task_run": run}
                spoken = FunctionCall(f"tricks:{name}", arguments, 20, {}, about=about)
                group.create_task(functions.call(spoken))
    said = {(e["task_run"], e["tool"], e["function"], e["line"]) for e in logs if "task_run" in e}
    function = f"tricks:{name}"
    assert said == {
        (run, "speaker", function, f"{way} of {run}") for run in ("r1", "r2") for way in ("aloud", "aside", "half")
    }


async def test_a_worker_that_dies_tells_each_call_its_own_last_words(functions: Functions, tmp_path: Path) -> None:
    place = pipe(tmp_path, "pid")
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(_error(functions, call("say_pid_and_hang", pipe=str(place))))
        await heard(place)
        dying = group.create_task(_error(functions, call("die")))
    assert "last words" in str(dying.result()) and "last words" not in str(hanging.result())


async def test_a_value_from_a_secret_is_shown_in_no_result_and_any_other_is(functions: Functions) -> None:
    env = {"TOKEN": "sk-123456", "CITY": "Amsterdam"}
    for name in ("environment", "environment_later"):
        told = await functions.call(FunctionCall(f"tricks:{name}", b"{}", 20, env, hidden=frozenset({"TOKEN"})))
        assert json.loads(told)["TOKEN"] == "[redacted]" and json.loads(told)["CITY"] == "Amsterdam"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fail", "ValueError: no such city"),
        ("fail_with_key", "PermissionError: key [redacted] refused"),
        ("leave", "SystemExit: 3"),
        ("stop_iteration", "raised StopIteration"),
        ("strange", "returned a object, which has no JSON form"),
    ],
)
async def test_what_a_function_raises_is_told_to_the_model(functions: Functions, name: str, says: str) -> None:
    with pytest.raises(ToolError) as raised:
        await functions.call(call(name, env={"TOKEN": "sk-123456"}))
    assert says in str(raised.value)


async def test_a_worker_that_ends_itself_is_explained_with_its_last_words(functions: Functions) -> None:
    with pytest.raises(Transient) as raised:
        await functions.call(call("die", env={"TOKEN": "sk-123456"}))
    assert "exited with code 7" in str(raised.value)
    assert "last words [redacted]" in str(raised.value)


@pytest.mark.parametrize(
    ("entrypoint", "reason", "says"),
    [
        ("nowhere:f", "ImportFailed", "No module named 'nowhere'"),
        ("tricks:nothing", "NoSuchFunction", "module tricks has no function nothing"),
        ("tricks:unfit", "UnfitFunction", "Thread"),
        ("broken:f", "ImportFailed", "ZeroDivisionError"),
    ],
)
async def test_an_entrypoint_that_leads_nowhere_says_why(
    tmp_path: Path, entrypoint: str, reason: str, says: str
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    functions = Functions([FOLDER, tmp_path])
    try:
        with pytest.raises(Terminal) as raised:
            await functions.inspect(entrypoint, {})
        assert raised.value.reason == reason and says in str(raised.value)
        with pytest.raises(Terminal):
            await functions.call(call(entrypoint))
    finally:
        await functions.close()


async def test_a_module_changed_on_disk_is_loaded_anew_when_it_is_inspected(tmp_path: Path) -> None:
    source = tmp_path / "changing.py"
    source.write_text('def f() -> str:\n    """One."""\n    return "one"\n')
    functions = Functions([tmp_path])
    try:
        assert (await functions.inspect("changing:f", {})).description == "One."
        source.write_text('def f() -> str:\n    """Number two."""\n    return "two"\n')
        assert (await functions.inspect("changing:f", {})).description == "Number two."
        assert await functions.call(call("changing:f")) == "two"
    finally:
        await functions.close()


@pytest.mark.parametrize("lazily", [False, True])
async def test_a_package_from_elsewhere_that_changed_is_loaded_anew_as_well(tmp_path: Path, lazily: bool) -> None:
    """Wherever it is installed, and also where the function imports it only when it runs."""
    functions, package = tmp_path / "functions", tmp_path / "installed" / "elsewhere.py"
    functions.mkdir()
    package.parent.mkdir()
    package.write_text('WORD = "one"\n')
    top, inside = ("", "    import elsewhere\n") if lazily else ("import elsewhere\n", "")
    (functions / "using.py").write_text(
        f"import sys\nsys.path.append({str(package.parent)!r})\n{top}"
        f'def f() -> str:\n    """F."""\n{inside}    return elsewhere.WORD\n'
    )
    runner = Functions([functions])
    try:
        await runner.inspect("using:f", {})
        assert await runner.call(call("using:f")) == "one"
        package.write_text('WORD = "number two"\n')
        await runner.inspect("using:f", {})
        assert await runner.call(call("using:f")) == "number two"
    finally:
        await runner.close()


async def test_what_was_wrong_with_the_code_heals_when_the_file_does(tmp_path: Path) -> None:
    functions = Functions([tmp_path])
    source, helper = tmp_path / "healing.py", tmp_path / "healing_helper.py"
    try:
        for text, reason in (
            (None, "ImportFailed"),
            ("import healing_helper\n", "ImportFailed"),
            ("1 / 0\n", "ImportFailed"),
            ("def other(): ...\n", "NoSuchFunction"),
            ("def f(*rest): ...\n", "UnfitFunction"),
        ):
            if text is not None:
                source.write_text(text)
            with pytest.raises(Terminal) as raised:
                await functions.inspect("healing:f", {})
            assert raised.value.reason == reason, text
        source.write_text(
            'import healing_helper\ndef f() -> str:\n    """Healed."""\n    return healing_helper.W\n'
        )
        helper.write_text('W = "words"\n')
        assert (await functions.inspect("healing:f", {})).description == "Healed."
        assert await functions.call(call("healing:f")) == "words"
    finally:
        await functions.close()


async def test_a_big_result_is_cut_with_a_line_that_says_so(functions: Functions) -> None:
    result = await functions.call(call("big"))
    text, _, marker = result.rpartition("\n")
    assert len(text.encode()) == MAX_RESULT_BYTES
    assert marker.startswith("[cut: the first 262,144 of 10,000,000 bytes")


async def test_a_result_that_is_no_valid_unicode_does_not_stop_anything(functions: Functions) -> None:
    assert await functions.call(call("surrogate")) == "a?b"


async def test_a_function_that_asks_for_the_idempotency_key_gets_it_and_the_model_never_hears_of_it(
    functions: Functions,
) -> None:
    found = await functions.inspect("tricks:key", {})
    assert json.loads(bytes(found.parameters))["properties"] == {}
    assert await functions.call(call("key", key="uid-1")) == "uid-1"
    with pytest.raises(ToolError, match="unknown field"):
        await functions.call(FunctionCall("tricks:key", b'{"idempotency_key": "mine"}', 20, {}, "uid-1"))


async def test_close_ends_workers_and_what_they_started_and_those_who_wait(
    functions: Functions, tmp_path: Path
) -> None:
    child = int(await functions.call(call("child")))
    place = pipe(tmp_path, "pid")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_error(functions, call("say_pid_and_hang", pipe=str(place))))
        pid = int(await heard(place))
        await functions.close()
    assert isinstance(waiting.result(), Transient)
    await ended(pid)
    await ended(child)
    with pytest.raises(Transient, match="shutting down"):
        await functions.call(call("pid"))


async def test_a_call_whose_caller_goes_away_leaves_nothing_behind(functions: Functions, tmp_path: Path) -> None:
    place = pipe(tmp_path, "pid")
    task = asyncio.create_task(functions.call(call("say_pid_and_hang", pipe=str(place))))
    pid = int(await heard(place))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await ended(pid)


PROGRAM = """
import asyncio, sys
from pathlib import Path
from kubechain.providers.tools.function.calls import FunctionCall
from kubechain.providers.tools.function.calls import FunctionCall
from kubechain.providers.tools.function.functions import Functions
call = FunctionCall("tricks:say_pid_and_hang", b'{"pipe": "' + sys.argv[2].encode() + b'"}', 60)
asyncio.run(Functions([Path(sys.argv[1])]).call(call))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker ends with its socket, once it looks")
async def test_a_worker_dies_with_the_program_even_in_the_middle_of_a_hung_call(tmp_path: Path) -> None:
    place = pipe(tmp_path, "pid")
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, str(FOLDER), str(place))
    pid = int(await heard(place))
    program.kill()
    await program.wait()
    await ended(pid)


async def _error(functions: Functions, what: FunctionCall) -> Exception:
    with pytest.raises(Exception) as raised:
        await functions.call(what)
    return raised.value
