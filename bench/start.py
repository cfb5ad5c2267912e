"""What a command of the command line costs: CPU of `kubechain get taskrun` against a running program.

`python -m bench.start`; prints the least and the median of ten, in milliseconds.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile

KUBECHAIN = [sys.executable, "-m", "kubechain.cli.main"]


def main() -> None:
    with tempfile.TemporaryDirectory() as state:
        env = {**os.environ, "KUBECONFIG": f"{state}/kubeconfig"}
        subprocess.run(
            [*KUBECHAIN, "up", "--detach", "--port", "0", "--state", state], check=True, capture_output=True
        )
        try:
            spent = [_cpu([*KUBECHAIN, "get", "taskrun"], env) for _ in range(10)]
        finally:
            subprocess.run([*KUBECHAIN, "down", "--state", state], check=True, capture_output=True)
    print(
        f"kubechain get taskrun: {min(spent):.0f} ms of CPU at least, {statistics.median(spent):.0f} in the middle"
    )


def _cpu(command: list[str], env: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=env, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    main()
