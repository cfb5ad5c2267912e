"""The command lines of podman and docker. Both take the same words, with few exceptions.

`local` calls it. Pure. No value of a variable stands in a command line, since other users can read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from kubechain.errors import Terminal
from kubechain.providers.tools.container.work import FOLDER, USER
from kubechain.resources.quantity import cores, size
from kubechain.resources.tool_container import ContainerTool

PROCESSES = 256
LOG_BYTES = "16m"
"""How much of what a container prints the engine keeps."""
SPARE_SECONDS = 60
"""How much longer than its timeout podman lets a container run, if KubeChain is not there to end it."""
_OWN = ("CONTAINER", "DOCKER", "DYLD", "LD_", "XDG_", "GO", "SSL_", "TMP", "TEMP", "DBUS_", "PODMAN", "BUILDAH")
_OWN_NAMES = frozenset(
    {"PATH", "HOME", "USER", "LANG", "SHELL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"}
)


class Engine(Struct, frozen=True):
    """A program that runs containers: `name` is podman or docker. `rootless`: the containers' root is not root."""

    name: str
    program: str
    version: str
    rootless: bool = False

    @property
    def words(self) -> str:
        """For people: `podman 4.3.1`."""
        return f"{self.name} {self.version}"


class Started(Struct, frozen=True):
    """What a container is started with. `user`: ids; `mounted`, `environment`, `id`: files of this machine."""

    name: str
    labels: Mapping[str, str]
    user: tuple[int, int]
    mounted: Path
    environment: Path
    id: Path
    log: Path
    timeout: float


def inherited(variables: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The variables that the container takes over from the engine's command, and those that a file holds.

    A file takes no value of several lines, and the command cannot have a variable that it reads itself. Raises
    Terminal.
    """
    own = {name: value for name, value in variables.items() if _own(name)}
    if lines := [name for name, value in own.items() if "\n" in value]:
        raise Terminal(
            f"the variable {lines[0]} of a container cannot have several lines; give it another name",
            reason="UnfitVariable",
        )
    return {name: value for name, value in variables.items() if name not in own}, own


def run(engine: Engine, tool: ContainerTool, started: Started, names: Mapping[str, str]) -> list[str]:
    """Runs a container until it ends, with its stdin, stdout and stderr. `names`: variables that it takes over."""
    user, group = started.user
    words = [
        *(engine.program, "run", "--interactive", "--sig-proxy=false", "--pull=never"),
        *("--name", started.name, "--cidfile", str(started.id)),
        *(f"--label={name}={value}" for name, value in started.labels.items()),
        *("--read-only", "--tmpfs=/tmp:rw,mode=1777", "--cap-drop=all", "--security-opt=no-new-privileges"),
        *(f"--user={user}:{group}", f"--pids-limit={PROCESSES}"),
        *(f"--memory={size(tool.memory)}", f"--cpus={cores(tool.cpu):g}"),
        f"--volume={started.mounted}:{FOLDER}:Z",
        *(f"--env={name}" for name in names),
    ]
    if engine.name == "podman":
        limit = int(started.timeout) + SPARE_SECONDS
        words += [
            "--log-driver=k8s-file",
            f"--log-opt=path={started.log}",
            "--http-proxy=false",
            f"--timeout={limit}",
        ]
        words += ["--userns=keep-id"] if engine.rootless else []
    else:
        words += ["--log-driver=json-file"]
    words += [f"--log-opt=max-size={LOG_BYTES}"]
    words += ["--network=none"] if tool.network != "Egress" else []
    words += [f"--env-file={started.environment}"] if started.environment.exists() else []
    words += [f"--workdir={tool.working_dir}"] if tool.working_dir else []
    return [*words, *_program(tool)]


def _program(tool: ContainerTool) -> list[str]:
    """The image and what it runs: `command` and `args` mean what they mean in a pod."""
    if tool.command:
        first, *rest = tool.command
        return [f"--entrypoint={first}", tool.image, *rest, *tool.args]
    return [tool.image, *tool.args]


def _own(name: str) -> bool:
    upper = name.upper()
    return upper in _OWN_NAMES or upper.startswith(_OWN)


def user_of(uid: int, gid: int) -> tuple[int, int]:
    """As whom a container runs that a user of this machine starts: as that user, but never as root."""
    return (USER, USER) if uid == 0 else (uid, gid)
