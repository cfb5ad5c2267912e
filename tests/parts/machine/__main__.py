"""`python -m tests.parts.machine`: installs and makes what a node needs, where this machine can run one.

With the name of a kubeconfig to write it also serves until it is interrupted; pods then reach port 18080 of
127.0.0.1, if something listens there.
"""

import asyncio
import shutil
import sys
from pathlib import Path

from tests.parts import apiserver, kuberouter
from tests.parts.cache import announce
from tests.parts.machine import images, needs
from tests.parts.machine.outside import Machine
from tests.parts.process import until_interrupted

MODEL = 18080


def make() -> list[Path]:
    """The images, after everything that they and the node need."""
    needs.install()
    apiserver.binary()
    kuberouter.binary()
    return [images.pause(), images.product()]


async def serve(kubeconfig: Path, made: list[Path]) -> None:
    """Serves until interrupted."""
    async with Machine(made, MODEL) as machine:
        shutil.copy(machine.kubeconfig, kubeconfig)
        announce(f"the node is Ready after {machine.seconds:.1f} s: kubectl --kubeconfig {kubeconfig} get nodes")
        announce(f"logs are in {machine.folder}/log; pods reach 127.0.0.1:{MODEL} as {machine.model}")
        await until_interrupted()


if __name__ == "__main__":
    if why := needs.cannot():
        announce(f"no node on this machine: {why}")
    elif ready := make():
        announce(f"node: {', '.join(str(image) for image in ready)}")
        if sys.argv[1:]:
            asyncio.run(serve(Path(sys.argv[1]), ready))
