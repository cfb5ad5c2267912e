"""The path of one TaskRun: which of our files are entered between its creation and its answer.

`python -m tests.story.path` prints them in the order in which they are entered first. The run calls one function
tool once; the model is a server, the function runs in its process, and neither is counted: they are outside.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import msgspec

import kubechain
from kubechain.app.loops import control_loops
from kubechain.controllers.assembly import Outside
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.table import runners
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import R
from kubechain.resources.registry import OURS
from kubechain.runtime.clock import now
from kubechain.runtime.informer import Informer
from kubechain.store.engine import Store
from tests.crash.outside import over_http
from tests.crash.stories import READ_ONLY, RUN, CrashStory

ROOT = str(Path(kubechain.__file__).parent) + "/"
OUTSIDE = "providers/models/scripted/"
FUNCTIONS = Path(__file__).parent / "functions"
KINDS = {kind.kind: kind.raw for kind in OURS}
NAMESPACE = "default"


class Files:
    """Takes down the files of the functions that are entered while `counting`."""

    def __init__(self) -> None:
        self.counting = False
        self.entered: dict[str, None] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        name = frame.f_code.co_filename
        if event == "call" and self.counting and name.startswith(ROOT) and frame.f_code.co_name != "<module>":
            self.entered.setdefault(name.removeprefix(ROOT))


@contextmanager
def watched(files: Files) -> Iterator[None]:
    """Every function that is called here, and in threads begun meanwhile, is told."""
    before = sys.getprofile()
    threading.setprofile(files)
    sys.setprofile(files)
    try:
        yield
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


async def path() -> list[str]:
    """The files, the first entered first."""
    story, files = CrashStory("path", {"look": READ_ONLY}, (("look",),)), Files()
    with TemporaryDirectory() as folder, watched(files):
        async with over_http(story.script, FUNCTIONS) as outside, Store.open(None, clock=now) as store:
            models = outside.models()
            parts = Outside(models, runners(outside.functions, MCP()), {})
            async with control_loops(store, parts) as loops:
                for manifest in story.manifests(outside.base_url, str(Path(folder) / "journal")):
                    await create(store, manifest)
                await reached(loops.caches.tasks, lambda task: task.status.ready)
                answered = asyncio.create_task(reached(loops.caches.runs, lambda run: run.status.finished))
                await asyncio.sleep(0)
                files.counting = True
                await create(store, story.run())
                run = await answered
                files.counting = False
            await models.close()
    assert (run.metadata.name, run.status.phase) == (RUN, "FinalAnswer")
    return [name for name in files.entered if not name.startswith(OUTSIDE)]


async def create(store: Store, manifest: JsonObject) -> None:
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    document = {**manifest, "metadata": {**metadata, "namespace": NAMESPACE}}
    await store.create(KINDS[str(manifest["kind"])], msgspec.json.encode(document))


async def reached(informer: Informer[R], end: Callable[[R], bool]) -> R:
    """The first object that changes so that this holds."""
    found: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    def look(old: R | None, new: R | None) -> None:
        if new is not None and not found.done() and end(new):
            found.set_result(new)

    informer.on_change(look)
    async with asyncio.timeout(60):
        return await found


if __name__ == "__main__":
    entered = asyncio.run(path())
    print("\n".join(entered))
    print(f"{len(entered)} files")
