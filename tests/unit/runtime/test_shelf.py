"""A shelf behaves like a dictionary of objects, however few of them stay decoded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kubechain.resources.model import ObjectMeta
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec
from kubechain.runtime.api import Key
from kubechain.runtime.cache import Shelf

KEYS = st.sampled_from([Key("default", f"run-{n}") for n in range(6)])
DEEDS = st.lists(st.tuples(st.sampled_from(["put", "pop", "get"]), KEYS), max_size=60)


def run(key: Key, version: int) -> TaskRun:
    meta = ObjectMeta(name=key.name, namespace=key.namespace, resource_version=str(version))
    return TaskRun(metadata=meta, spec=TaskRunSpec(task=f"task-{version}"))


@given(DEEDS, st.integers(0, 3))
def test_whatever_is_done_to_it_a_shelf_holds_what_a_dictionary_would(
    deeds: list[tuple[str, Key]], room: int
) -> None:
    shelf, plain = Shelf(TASK_RUNS, recent=room), dict[Key, TaskRun]()
    for step, (deed, key) in enumerate(deeds, 1):
        match deed:
            case "put":
                plain[key] = run(key, step)
                shelf.put(key, run(key, step))
            case "pop":
                plain.pop(key, None)
                shelf.pop(key)
            case _:
                held = shelf.get(key)
                assert (held and held.spec) == (plain[key].spec if key in plain else None)
        assert len(shelf) == len(plain)
        assert set(shelf) == set(plain)
        for known in plain:
            assert shelf.version(known) == int(plain[known].metadata.resource_version)


def test_without_a_kind_every_object_stays_the_one_that_was_put() -> None:
    shelf: Shelf[TaskRun] = Shelf(recent=0)
    one = run(Key("default", "a"), 1)
    shelf.put(Key("default", "a"), one)
    assert shelf.get(Key("default", "a")) is one


def test_a_few_large_objects_and_many_small_ones_come_back_whole() -> None:
    shelf: Shelf[TaskRun] = Shelf(TASK_RUNS, recent=0)
    made = {Key("default", f"run-{n}"): run(Key("default", f"run-{n}"), n) for n in range(1, 100)}
    for n, (key, one) in enumerate(made.items()):
        one.spec.user_message = f"{n}\n\0" * (3_000 if n % 7 == 0 else 1)
        shelf.put(key, one)
    for key, one in made.items():
        held = shelf.get(key)
        assert held is not None
        assert (held.metadata.name, held.spec) == (one.metadata.name, one.spec)
