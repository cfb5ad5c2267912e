"""The commands of the documentation, run as printed, with real kubectl, in one shell, on a fresh home.

A block behind `<!-- run -->` is run; a block behind `<!-- prints -->` is what the one before it must have printed.
Ages and the fingerprints in names differ from run to run and are evened out. Nothing else is.

On a real Kubernetes every command runs as well, but two: `kubechain up`, which is the embedded engine, and
`kubechain down`, which ends it. In their place the operator is started, with the options that the page gives to
`up`, and ended.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.parts.kubectl import kubectl
from tests.parts.podman import BUSYBOX
from tests.story.containers import podman_or_skip
from tests.story.program import place

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "kubechain-example"
BIN = Path(sys.executable).parent
BLOCK = re.compile(r"<!-- (run|prints) -->\n```\w*\n(.*?)```", re.DOTALL)
AGE = re.compile(r"\b(\d+[dhms])+\b")
CHILD = re.compile(r"greeter-[a-z0-9]{10}\b")
FINGERPRINT = re.compile(r"-[a-z0-9]{5}-(\d+-\d+)\b")
SECONDS = 100
PORT_OF_ITS_OWN = """
kubechain() {
  if [ "$1" = up ]; then shift; command kubechain up --port 0 "$@"; else command kubechain "$@"; fi
}
"""
"""The one thing that a shared machine needs: the default port may be taken."""
WITHOUT_KUBECTL = """
kubectl() { kubechain "${@/--namespace=default/--namespace=$NAMESPACE}"; }
"""
"""`kubechain` in place of kubectl, for every command of the page."""


ON_A_CLUSTER = """
kubechain() {
  case $1 in
    up) shift; operator "${@/--detach}" ;;
    down) kill -TERM "$(cat ~/operator.pid)"; wait ;;
    *) command kubechain "$@" ;;
  esac
}
operator() {
  mkdir -p ~/.local/state/kubechain
  cp ~/kubeconfig ~/.local/state/kubechain/kubeconfig
  mkfifo ~/said
  exec 9<> ~/said
  # The option that was taken out has left an empty word: unquoted, there is none.
  command kubechain operator --kubeconfig ~/kubeconfig -n "$NAMESPACE" --listen 127.0.0.1:0 $* > ~/log 2>&9 &
  echo $! > ~/operator.pid
  until read -r -t 60 line <&9 && echo "$line" >&2 && [[ $line == "KubeChain controls"* ]]; do :; done
}
kubectl() { command kubectl "${@/--namespace=default/--namespace=$NAMESPACE}"; }
"""
"""The operator in place of `kubechain up`, in a namespace of its own, which stands for `default`: tests share the
cluster. The kubeconfig is where `up` writes its own."""


def engines(*versions: str) -> list[Any]:
    """Parameters: each kubectl before the embedded engine; the newest, and none, before a real Kubernetes too."""
    both = [v for v in versions if v in ("1.33", "")]
    on_cluster = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]
    return [
        *(pytest.param(("embedded", v), id=v or "none") for v in versions),
        *(pytest.param(("cluster", v), id=f"cluster-{v or 'none'}", marks=on_cluster) for v in both),
    ]


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Keeps other tests of this machine, in whatever process, from using the same."""
    with (Path(tempfile.gettempdir()) / f"kubechain-tests-{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass
class Block:
    """What a reader types, and what the page says that it prints (None: it does not say)."""

    commands: str
    prints: str | None = None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that are run, in order."""
    found: list[Block] = []
    for kind, text in BLOCK.findall(page.read_text("utf-8")):
        if kind == "run":
            found.append(Block(text))
        else:
            assert found and found[-1].prints is None, f"{page.name}: a printed block follows no command"
            found[-1].prints = text
    return found


def even(text: str) -> list[str]:
    """The lines with ages, fingerprints and the width of columns evened out."""
    text = FINGERPRINT.sub(r"-xxxxx-\1", AGE.sub("AGE", text))
    return [" ".join(line.split()) for line in text.strip().splitlines()]


class Shell:
    """A home of its own, where `kubechain` and one version of `kubectl` are on the PATH."""

    def __init__(self, home: Path, version: str, namespace: str = "") -> None:
        """`version` of kubectl, "" for none: kubechain stands in. `namespace` of a cluster, "" for none."""
        (home / "bin").mkdir()
        if version:
            (home / "bin" / "kubectl").symlink_to(kubectl(version))
        self.functions = ON_A_CLUSTER if namespace else PORT_OF_ITS_OWN
        if not version:
            self.functions += WITHOUT_KUBECTL
        self.home = home
        self.env = {
            "HOME": str(home),
            "PATH": os.pathsep.join([str(home / "bin"), str(BIN), "/usr/local/bin", "/usr/bin", "/bin"]),
            "NO_COLOR": "1",
            "LC_ALL": "C.UTF-8",
            "NAMESPACE": namespace,
        }

    def read_aloud(self, page: Path) -> list[tuple[Block, str]]:
        """Runs every block of the page in one bash; what each printed on stdout."""
        parts = blocks(page)
        marked = "".join(f"echo '@@{number}'\n{part.commands}\n" for number, part in enumerate(parts))
        script = self.home / "page.sh"
        script.write_text(f"set -e\n{self.functions}{marked}echo '@@end'\n")
        with (self.home / "stdout").open("w+") as out, (self.home / "stderr").open("w+") as err:
            done = subprocess.run(
                ["bash", str(script)], cwd=ROOT, env=self.env, stdout=out, stderr=err, timeout=SECONDS, check=False
            )
            out.seek(0)
            err.seek(0)
            printed, complained = out.read(), err.read()
        assert done.returncode == 0, f"{page.name} stopped:\n{printed[-1500:]}\n{complained[-1500:]}"
        said = re.split(r"^@@(?:\d+|end)\n", printed, flags=re.MULTILINE)[1:-1]
        return list(zip(parts, said, strict=True))

    def close(self) -> None:
        """Leaves nothing running."""
        if self.env["NAMESPACE"]:
            with suppress(OSError):
                os.kill(int((self.home / "operator.pid").read_text()), signal.SIGKILL)
        else:
            subprocess.run(["kubechain", "down"], env=self.env, capture_output=True, timeout=30, check=False)


@pytest.fixture
async def shell(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Shell]:
    engine, version = request.param
    async with AsyncExitStack() as stack:
        namespace = ""
        if engine == "cluster":
            home = await stack.enter_async_context(place(request.getfixturevalue("kubernetes"), tmp_path))
            namespace = home.namespace
        opened = Shell(tmp_path, version, namespace)
        stack.callback(opened.close)
        yield opened


@pytest.mark.parametrize("shell", engines("1.30", "1.32", "1.33", ""), indirect=True)
def test_the_walk_through_prints_what_it_says(shell: Shell) -> None:
    told = shell.read_aloud(ROOT / "docs" / "start.md")
    for block, printed in told:
        if block.prints is not None:
            assert even(printed) == even(block.prints), block.commands
    whole = "\n".join(printed for _, printed in told)
    for told_by_describe in ("Started", "ToolCallsRequested", "FinalAnswer", "Echo: Hello, World!"):
        assert told_by_describe in whole
    assert '"42"' in whole, "the MCP server's answer reaches the user"
    assert not (shell.home / ".local/state/kubechain").exists(), "cleaning up cleans up"


@pytest.mark.parametrize("shell", engines("1.33"), indirect=True)
@pytest.mark.parametrize(("page", "last"), [("http-tools", "snow, -3 C"), ("openapi-tools", "sun, 24 C")])
def test_the_pages_about_tools_over_http_print_what_they_say(shell: Shell, page: str, last: str) -> None:
    told = shell.read_aloud(ROOT / "docs" / "guides" / f"{page}.md")
    for block, printed in told:
        if block.prints is not None:
            assert even(printed) == even(block.prints), block.commands
    assert any(last in printed for _, printed in told)


@pytest.mark.parametrize("shell", engines("1.33"), indirect=True)
def test_the_quick_start_of_the_readme_ends_in_a_final_answer(shell: Shell) -> None:
    *_, (_, printed) = shell.read_aloud(ROOT / "README.md")
    assert re.search(r"taskrun.*/hello-world-run +hello-world-task +FinalAnswer", printed)
    assert re.search(r"llm.*/gpt-4o +openai +true +Ready", printed)


@pytest.mark.parametrize("shell", engines("1.32"), indirect=True)
def test_the_page_about_function_tools_prints_what_it_says(shell: Shell) -> None:
    told = shell.read_aloud(ROOT / "docs" / "guides" / "function-tools.md")
    for block, printed in told:
        if block.prints is not None:
            assert even(printed) == even(block.prints), block.commands
    assert told[-1][1].splitlines()[-1:] == ["Tells the weather of the coming days."]


@pytest.mark.parametrize("shell", engines("1.33"), indirect=True)
def test_the_page_about_sub_agents_prints_what_it_says(shell: Shell) -> None:
    for block, printed in shell.read_aloud(ROOT / "docs" / "guides" / "sub-agents.md"):
        if block.prints is not None:
            assert even(CHILD.sub("greeter-xxxxxxxxxx", printed)) == even(block.prints), block.commands


@pytest.mark.parametrize("shell", engines("1.33"), indirect=True)
def test_the_page_about_mcp_servers_over_stdio_prints_what_it_says(shell: Shell) -> None:
    told = shell.read_aloud(ROOT / "docs" / "guides" / "mcp-stdio.md")
    for block, printed in told:
        if block.prints is not None:
            assert even(printed) == even(block.prints), block.commands
    assert any("memory 512Mi" in printed for _, printed in told)


@pytest.mark.parametrize("shell", engines("1.33"), indirect=True)
def test_the_page_about_mcp_over_http_prints_what_it_says(shell: Shell) -> None:
    with alone("port-8765"):
        told = shell.read_aloud(ROOT / "docs" / "guides" / "mcp-http.md")
    for block, printed in told:
        if block.prints is not None:
            assert even(printed) == even(block.prints), block.commands


@pytest.mark.parametrize("shell", [pytest.param(("embedded", "1.32"), id="1.32")], indirect=True)
def test_the_page_about_container_tools_prints_what_it_says(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    podman = podman_or_skip(monkeypatch)
    podman("tag", BUSYBOX, "docker.io/library/busybox:1.36")
    podman("build", "--network=none", "--tag=localhost/words:1", str(EXAMPLES / "container-tool"))
    shell.env |= podman.environment
    told = shell.read_aloud(ROOT / "docs" / "guides" / "container-tools.md")
    for block, printed in told:
        if block.prints is not None:
            assert even(printed) == even(block.prints), block.commands
    assert "Succeeded" in told[-1][1].splitlines()


@pytest.mark.parametrize("shell", engines("1.32", "1.33", ""), indirect=True)
def test_every_example_runs_to_its_answer(shell: Shell) -> None:
    *_, (_, answers), (_, tried), (_, waits), (_, signed), _ = shell.read_aloud(EXAMPLES / "README.md")
    assert re.search(r"hello-world-run .*Echo: Hello, World!", answers)
    assert re.search(r'mcp-run .*"42"', answers)
    assert re.search(r"party-run .*Hello, Moon!.*Hello, Mars!", answers, re.IGNORECASE)
    assert re.search(r'dice-run .*"(1?\d|20)"', answers)
    assert re.search(r"^dice +function .*Roll dice", tried, re.MULTILINE)
    assert re.search(r"^[1-6] \+ [1-6] = 1?\d$", tried, re.MULTILINE)
    assert re.search(r"sign-run .*Running .*tool:sign-off", waits)
    assert "signed by Ada" in signed
