"""Container tools under a real podman: what a container gets, what its call gives back, and what ends it."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from kubechain.app.loops import ControlLoops, control_loops
from kubechain.controllers.assembly import Outside
from kubechain.resources.builtin import SECRETS, Secret
from kubechain.resources.effect import Effect
from kubechain.resources.reference import EnvVar, SecretKeyRef, SecretSource
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.resources.tool import TOOLS, Tool
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Api, Change, WatchOptions
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.parts.podman import BUSYBOX, Podman
from tests.story.asked import RUN, ask, call_that, ended_run, meta, none_left, parked_call
from tests.story.containers import Gives, containers, podman_or_skip, shell

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("podman")]
SECONDS = 60.0
EVERYTHING = """
echo "id $(id -u) $(id -g)"
echo "dir $(pwd)"
echo "stdin $(cat)"
echo "file $(cat /kubechain/args.json)"
echo "net $(ls /sys/class/net | tr '\\n' ' ')"
echo "caps $(grep CapEff /proc/self/status | cut -f2)"
echo "new $(grep NoNewPrivs /proc/self/status | cut -f2)"
echo "memory $(cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null)"
touch /etc/x 2>/dev/null || echo "etc read-only"
touch /tmp/x && echo "tmp writable"
echo noise >&2
env | sort | sed 's/^/env /'
"""
BEGAN = "touch /kubechain/artifacts/began; "
LEAST = {"HOME", "HOSTNAME", "PATH", "PWD", "SHLVL", "TERM", "container"}
"""What engine, image and shell set."""


@pytest.fixture
def podman(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Podman]:
    yield (podman := podman_or_skip(monkeypatch))
    for folder in (tmp_path / "containers").glob("*"):  # of a test that failed
        podman("rm", "--force", "--time=0", folder.name)


@asynccontextmanager
async def life(
    api: Api, folder: Path, arguments: str = "{}", engine: str = "podman"
) -> AsyncIterator[ControlLoops]:
    """One life of the program."""
    tools = containers(folder, engine)
    try:
        async with control_loops(api, Outside(Gives(arguments), [tools], {})) as loops:
            yield loops
    finally:
        await tools.close()


def name_of(call: ToolCall) -> str:
    """The container of a call."""
    assert call.status.external is not None
    return call.status.external.id


async def at_work(store: Api, folder: Path) -> ToolCall:
    """The run's call, once its container has begun to work, of which it leaves a sign."""
    call = await parked_call(store)
    while not (folder / "containers" / name_of(call) / "kubechain/artifacts/began").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.02)  # a file that appears has no event
    return call


async def told(podman: Podman, tool: Tool, folder: Path, arguments: str = "{}", engine: str = "podman") -> str:
    """What the model reads of a call of the tool, of which nothing is left."""
    async with asyncio.timeout(SECONDS), Store.open(None, clock=now) as store:
        async with life(store, folder, arguments, engine):
            await store.create(TOOLS, tool)
            await ask(store, tool="box")
            said = (await ended_run(store)).status.output
        # Leaving waits for containers that are being removed.
        (call,) = (await store.list(TOOL_CALLS, "default")).items
    assert podman.left(call.metadata.uid) == []
    assert list((folder / "containers").iterdir()) == []
    return said


async def test_a_container_gets_its_arguments_its_limits_and_nothing_else(
    podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-operator")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy:3128")
    tool = shell(EVERYTHING, env=[EnvVar(name="GREETING", value="a=b c"), EnvVar(name="PATH", value="/bin:/sbin")])
    said = await told(podman, tool, tmp_path, '{"city": "Bär"}')
    lines = said.splitlines()
    assert [line for line in lines if not line.startswith("env ")] == [
        "id 65532 65532",
        "dir /",
        'stdin {"city": "Bär"}',
        'file {"city": "Bär"}',
        "net lo ",
        "caps 0000000000000000",
        "new 1",
        f"memory {512 << 20}",
        "etc read-only",
        "tmp writable",
    ]
    env = dict(line.removeprefix("env ").split("=", 1) for line in lines if line.startswith("env "))
    assert set(env) == LEAST | {"GREETING"}
    assert (env["GREETING"], env["PATH"]) == ("a=b c", "/bin:/sbin")


async def test_docker_runs_it_in_the_same_way(
    podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with podman.served() as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        said = await told(podman, shell(EVERYTHING), tmp_path, '{"a": 1}', "docker")
    assert 'stdin {"a": 1}\nfile {"a": 1}\nnet lo \n' in said
    assert "id 65532 65532" in said


async def test_a_secret_of_several_lines_reaches_the_container_and_no_command_line(
    podman: Podman, tmp_path: Path
) -> None:
    value, folder = "first line\nsecond line", tmp_path
    named = SecretSource(secret_key_ref=SecretKeyRef(name="keys", key="token"))
    script = BEGAN + 'until [ -e /kubechain/artifacts/seen ]; do sleep 0.05; done; printf %s "$TOKEN" | wc -c'
    tool = shell(script, env=[EnvVar(name="TOKEN", value_from=named)])
    async with asyncio.timeout(SECONDS), Store.open(None, clock=now) as store, life(store, folder):
        encoded = base64.b64encode(value.encode()).decode()
        await store.create(SECRETS, Secret(metadata=meta("keys"), data={"token": encoded}))
        await store.create(TOOLS, tool)
        await ask(store, tool="box")
        call = await at_work(store, folder)
        commands = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
        assert call.metadata.uid.encode() in commands
        assert b"second line" not in commands
        (folder / "containers" / name_of(call) / "kubechain/artifacts/seen").touch()
        said = (await ended_run(store)).status.output
    assert said.splitlines()[0] == str(len(value))


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo about to fail >&2; exit 3", "the program in the container exited with code 3: about to fail"),
        ("sh -c 'kill -TERM $$'; exit $?", "the program in the container was ended by SIGTERM"),
        ("x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done", "more memory than its limit of 16Mi"),
        ("exit 125", "the program in the container exited with code 125"),
    ],
)
async def test_the_model_is_told_why_a_container_failed(
    podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    started_in = tmp_path / "started-in"
    started_in.mkdir()
    monkeypatch.chdir(started_in)
    tool = shell(script, resources={"limits": {"memory": "16Mi"}})
    assert says in await told(podman, tool, tmp_path)
    assert not list(started_in.iterdir()), "the engine leaves nothing where the program was started"


async def test_a_file_with_the_result_goes_before_what_was_printed(podman: Podman, tmp_path: Path) -> None:
    tool = shell("""echo progress; echo '{"answer": 42}' > /kubechain/result.json""")
    assert await told(podman, tool, tmp_path) == '{"answer": 42}'


async def test_a_link_to_a_file_of_this_machine_is_not_followed(podman: Podman, tmp_path: Path) -> None:
    script = "ln -s /etc/hostname /kubechain/result.json; ln -s /etc/hostname /kubechain/artifacts/x; echo done"
    assert await told(podman, shell(script), tmp_path) == "done"


async def test_a_container_that_takes_too_long_is_killed_and_the_model_told(
    podman: Podman, tmp_path: Path
) -> None:
    said = await told(podman, shell("sleep 300", timeout="1500ms"), tmp_path)
    assert "did not end within 1.5 s and was killed; raise the tool's timeout" in said


@pytest.mark.parametrize("effect", ["NonIdempotent", "ReadOnly"])
async def test_deleting_the_call_ends_its_container(podman: Podman, tmp_path: Path, effect: Effect) -> None:
    async with asyncio.timeout(SECONDS), Store.open(None, clock=now) as store:
        async with life(store, tmp_path):
            await store.create(TOOLS, shell(BEGAN + "sleep 300", effect=effect))
            await ask(store, tool="box")
            call = await at_work(store, tmp_path)
            assert call.status.waiting_on == f"container {name_of(call)}"
            await store.delete(TOOL_CALLS, call.metadata.name, "default")
            async with aclosing(store.watch(TOOL_CALLS, "default", WatchOptions(initial_events=True))) as events:
                async for event in events:  # the run asks for the same call again, under the same name
                    if isinstance(event, Change) and event.object.metadata.uid != call.metadata.uid:
                        break
            await store.delete(TASK_RUNS, RUN, "default")
            await none_left(store, TOOL_CALLS)
        # Leaving waits for containers that are being removed.
        assert podman.left(call.metadata.uid) == []


@pytest.mark.parametrize("effect", ["NonIdempotent", "ReadOnly"])
async def test_a_container_is_gone_on_with_after_a_restart_and_not_started_again(
    podman: Podman, tmp_path: Path, effect: Effect
) -> None:
    script = (
        BEGAN + "echo began; echo words >&2; until [ -e /kubechain/artifacts/go ]; do sleep 0.05; done; echo ended"
    )
    async with asyncio.timeout(SECONDS), Store.open(tmp_path / "store.db", clock=now) as store:
        async with life(store, tmp_path):
            await store.create(TOOLS, shell(script, effect=effect))
            await ask(store, tool="box")
            call = await at_work(store, tmp_path)
        assert podman.left(call.metadata.uid) == [name_of(call)]
        async with life(store, tmp_path):
            (tmp_path / "containers" / name_of(call) / "kubechain/artifacts/go").touch()
            said = (await ended_run(store)).status.output
        assert said.splitlines()[:2] == ["began", "ended"]
        (ended,) = (await store.list(TOOL_CALLS, "default")).items
        assert ended.status.attempts == 1


async def test_a_container_that_ended_while_nobody_looked_has_its_result_told(
    podman: Podman, tmp_path: Path
) -> None:
    async with asyncio.timeout(SECONDS), Store.open(tmp_path / "store.db", clock=now) as store:
        async with life(store, tmp_path):
            await store.create(TOOLS, shell(BEGAN + "sleep 1; echo out; echo err >&2; exit 7"))
            await ask(store, tool="box")
            call = await at_work(store, tmp_path)
        podman("wait", name_of(call))
        async with life(store, tmp_path):
            said = (await ended_run(store)).status.output
        assert said.endswith("the program in the container exited with code 7: err")


async def test_a_container_that_somebody_removed_is_not_started_again(podman: Podman, tmp_path: Path) -> None:
    async with asyncio.timeout(SECONDS), Store.open(tmp_path / "store.db", clock=now) as store:
        async with life(store, tmp_path):
            await store.create(TOOLS, shell(BEGAN + "sleep 300"))
            await ask(store, tool="box")
            call = await at_work(store, tmp_path)
        podman("rm", "--force", "--time=0", name_of(call))
        async with life(store, tmp_path):
            lost = await call_that(store, "OutcomeUnknown")
        assert f"the container {name_of(call)} was removed by someone else" in lost.status.error


async def test_containers_of_calls_that_are_gone_are_removed_at_the_next_start(
    podman: Podman, tmp_path: Path
) -> None:
    async with asyncio.timeout(SECONDS), Store.open(tmp_path / "store.db", clock=now) as store:
        async with life(store, tmp_path):
            await store.create(TOOLS, shell(BEGAN + "sleep 300"))
            await ask(store, tool="box")
            call = await at_work(store, tmp_path)
        assert podman.left(call.metadata.uid) == [name_of(call)]
        tools = containers(tmp_path)
        await tools.sweep(partial(_uids, [call.metadata.uid]))
        await tools.close()
        assert podman.left(call.metadata.uid) == [name_of(call)]
        tools = containers(tmp_path)
        await tools.sweep(partial(_uids, []))
        await tools.close()
        assert podman.left(call.metadata.uid) == []
        assert list((tmp_path / "containers").iterdir()) == []


async def _uids(uids: list[str]) -> list[str]:
    return uids


async def test_a_missing_image_is_a_sentence(podman: Podman, tmp_path: Path) -> None:
    async with asyncio.timeout(SECONDS), Store.open(None, clock=now) as store, life(store, tmp_path):
        await store.create(TOOLS, shell("true", image="localhost/nothing:1"))
        tool = await tool_that(store, "Error")
        assert tool.status.conditions[0].reason == "ImageNotFound"
        assert tool.status.status_detail.startswith("image localhost/nothing:1 is missing: ")
        assert "`podman pull localhost/nothing:1`" in tool.status.status_detail


async def test_an_image_that_went_away_is_a_sentence_for_the_model(podman: Podman, tmp_path: Path) -> None:
    podman("tag", BUSYBOX, "localhost/gone:1")
    async with asyncio.timeout(SECONDS), Store.open(None, clock=now) as store, life(store, tmp_path):
        await store.create(TOOLS, shell("true", image="localhost/gone:1"))
        await tool_that(store, "Ready")
        podman("untag", "localhost/gone:1")
        await ask(store, tool="box")
        assert "image localhost/gone:1 is missing" in (await ended_run(store)).status.output


async def test_a_missing_engine_is_a_sentence_and_heals(
    podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(tmp_path))
    async with asyncio.timeout(SECONDS), Store.open(None, clock=now) as store, life(store, tmp_path, engine=""):
        await store.create(TOOLS, shell("true"))
        tool = await tool_that(store, "Error")
        assert tool.status.conditions[0].reason == "NoContainerEngine"
        assert "podman is not on the PATH of KubeChain; docker is not on the PATH" in tool.status.status_detail
        monkeypatch.setenv("PATH", path)
        tool = await tool_that(store, "Ready")
        assert tool.status.type == "container"
        assert f"Image {BUSYBOX} is ready, run by podman 4" in tool.status.status_detail


async def tool_that(api: Api, status: str) -> Tool:
    """The tool, once it has that status."""
    async with aclosing(api.watch(TOOLS, "default", WatchOptions())) as events:
        async for event in events:
            if isinstance(event, Change) and event.object.status.status == status:
                return event.object
    raise AssertionError("the watch ended")
