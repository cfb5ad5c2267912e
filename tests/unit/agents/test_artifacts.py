"""Files that tools make: named, stored in parts, and told to the model in one line each."""

from __future__ import annotations

import base64

from kubechain.agents.call.artifact import LARGEST, MOST, PART, line, stored
from kubechain.agents.call.outcome import Artifact
from tests.unit.agents.scenes import call

PNG = Artifact(b"\x89PNG" + bytes(100), "image/png", "charts/my chart.png")


def test_a_file_gets_a_handle_of_its_call_and_its_name_and_a_line_for_the_model() -> None:
    [about], [(name, part)] = stored(call("r-1-1"), [PNG])
    assert about.handle == "r-1-1/my_chart.png"
    assert name == f"{about.stored}-1" and part.encoding == "base64"
    assert base64.b64decode(part.content) == PNG.content
    assert line(about) == "[file r-1-1/my_chart.png: image/png, 104 bytes]"


def test_files_of_one_name_or_of_none_are_told_apart() -> None:
    told, _ = stored(call("c"), [PNG, PNG, Artifact(b"x", "text/plain"), Artifact(b"y", "", "../../")])
    assert [one.handle for one in told] == ["c/my_chart.png", "c/2-my_chart.png", "c/file-3.txt", "c/file-4"]


def test_a_large_file_is_stored_in_parts_and_one_that_is_too_large_is_only_told_of() -> None:
    big = bytes(range(256)) * (PART // 256) + b"end"
    [about], parts = stored(call("c"), [Artifact(big, "x/y", "big")])
    assert about.parts == 2 and b"".join(base64.b64decode(spec.content) for _, spec in parts) == big
    [huge], none = stored(call("c"), [Artifact(bytes(LARGEST + 1), "video/mp4", "film.mp4")])
    assert not none and "not kept" in line(huge) and huge.stored == ""


def test_only_so_many_files_of_one_call_are_kept_and_the_same_files_give_the_same_parts() -> None:
    files = [Artifact(str(n).encode(), "text/plain", f"{n}.txt") for n in range(MOST + 2)]
    told, parts = stored(call("c"), files)
    assert len(told) == MOST + 2 and len(parts) == MOST
    assert stored(call("c"), files) == (told, parts)
