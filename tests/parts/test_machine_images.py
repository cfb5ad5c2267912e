"""Images are packed without a registry: the archive holds what its own lists say."""

import hashlib
import json
import tarfile
from pathlib import Path

from tests.parts.machine.images import archive


def test_an_archive_holds_the_folder_as_one_layer_of_root_under_its_name(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "tool").write_text("#!/bin/sh\n")
    (root / "bin" / "tool").chmod(0o755)
    archive(root, "localhost/tool:1", tmp_path / "image.tar", ["/bin/tool"])
    with tarfile.open(tmp_path / "image.tar") as tar:

        def read(name: str) -> bytes:
            member = tar.extractfile(name)
            assert member is not None
            return member.read()

        (manifest,) = json.loads(read("manifest.json"))
        config = json.loads(read(manifest["Config"]))
        assert manifest["RepoTags"] == ["localhost/tool:1"]
        assert config["config"]["Entrypoint"] == ["/bin/tool"]
        (layer,) = manifest["Layers"]
        assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(read(layer)).hexdigest()}"]
        assert len(config["history"]) == 1
        with tarfile.open(fileobj=tar.extractfile(layer)) as inner:
            tool = inner.getmember("./bin/tool")
            assert (tool.uid, tool.gid, tool.mode) == (0, 0, 0o755)
