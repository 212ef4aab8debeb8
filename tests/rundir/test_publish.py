"""Publication is exclusive and whole, and every refusal of the operating system is explained."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runkit import in_parallel, temporaries

from lars_sweep.errors import RunError
from lars_sweep.rundir import publish


def _publish_all(directory: Path, me: int, names: int) -> list[int]:
    content = publish.to_json_bytes({"winner": me})
    return [n for n in range(names) if publish.publish_new(directory / str(n), content)]


def test_of_sixteen_processes_one_publishes_each_name(tmp_path: Path) -> None:
    won = in_parallel(_publish_all, [(tmp_path, me, 50) for me in range(16)])
    assert sorted(n for mine in won for n in mine) == list(range(50))
    for me, mine in enumerate(won):
        assert all(publish.read_json(tmp_path / str(n)) == {"winner": me} for n in mine)
    assert temporaries(tmp_path) == []


def test_the_second_publisher_changes_nothing(tmp_path: Path) -> None:
    assert publish.publish_new(tmp_path / "a", b"first")
    assert not publish.publish_new(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert temporaries(tmp_path) == []


def test_a_link_whose_answer_was_lost_is_recognised_as_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def repeated(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)  # what an NFS client does when the first answer is lost

    monkeypatch.setattr(os, "link", repeated)
    assert publish.publish_new(tmp_path / "a", b"mine")


def test_replace_lets_the_newest_win(tmp_path: Path) -> None:
    publish.replace(tmp_path / "a", b"old")
    publish.replace(tmp_path / "a", b"new", durable=False)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert temporaries(tmp_path) == []


def test_a_reader_sees_the_old_or_the_new_content_never_a_part(tmp_path: Path) -> None:
    path = tmp_path / "state"
    contents = [bytes([65 + i]) * 300_000 for i in range(20)]
    publish.replace(path, contents[0])
    over = threading.Event()
    torn: list[int] = []

    def read() -> None:
        while not over.is_set():
            seen = path.read_bytes()
            if len(seen) != 300_000 or len(set(seen)) != 1:
                torn.append(len(seen))

    reader = threading.Thread(target=read)
    reader.start()
    for content in contents * 5:
        publish.replace(path, content, durable=False)
    over.set()
    reader.join()
    assert torn == []


def test_names_are_sorted_and_hide_what_is_not_published(tmp_path: Path) -> None:
    for name in ("b", ".tmp-1234", "a"):
        (tmp_path / name).touch()
    assert publish.names(tmp_path) == ["a", "b"]
    assert publish.names(tmp_path / "absent") == []


def test_a_write_that_fails_leaves_neither_name_nor_temporary(tmp_path: Path) -> None:
    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish.publish_file(tmp_path / "part", fail)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_explained_and_loses_nothing(tmpfs: Callable[[str], Path]) -> None:
    place = tmpfs("size=128k")
    publish.replace(place / "kept", b"measured")
    for write in (publish.publish_new, publish.replace):
        with pytest.raises(RunError, match="No space left on device: the disk is full; free some"):
            write(place / "big", bytes(1_000_000))
    with pytest.raises(RunError, match="the disk is full"):
        publish.publish_file(
            place / "big", lambda path: path.write_bytes(bytes(1_000_000)) and None
        )
    assert os.listdir(place) == ["kept"]
    assert (place / "kept").read_bytes() == b"measured"
    assert publish.publish_new(place / "small", b"fits")


def test_used_up_inodes_are_explained(tmpfs: Callable[[str], Path]) -> None:
    place = tmpfs("size=1m,nr_inodes=3")
    (place / "one").touch()
    (place / "two").touch()
    with pytest.raises(RunError, match="the disk is full"):
        publish.publish_new(place / "three", b"")


def test_a_read_only_file_system_is_explained(
    tmpfs: Callable[[str], Path], remount: Callable[[Path, str], None]
) -> None:
    place = tmpfs("size=128k")
    remount(place, "ro")
    with pytest.raises(RunError, match="the file system is read-only; choose another place"):
        publish.publish_new(place / "claim", b"")


def _publish_as_nobody(directory: Path) -> str:
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        publish.publish_new(directory / "claim", b"")
    except RunError as error:
        return str(error)
    return "published"


def test_missing_permission_is_explained(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    (message,) = in_parallel(_publish_as_nobody, [(tmp_path,)])
    assert message == (
        f"cannot write {tmp_path / 'claim'}: Permission denied: no permission to write there; "
        "choose another place"
    )


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EOPNOTSUPP, errno.EIO])
def test_every_refusal_names_the_path_and_what_to_do(tmp_path: Path, number: int) -> None:
    path = tmp_path / "x"
    with pytest.raises(RunError) as caught, publish.explained(path):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(f"cannot write {path}: {os.strerror(number)}: ")
    assert isinstance(caught.value.__cause__, OSError)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(), _JSON))
def test_json_comes_back_exactly(content: dict[str, object]) -> None:
    assert json.loads(publish.to_json_bytes(content)) == content


def test_what_json_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        publish.to_json_bytes({"loss": float("nan")})


def test_a_file_that_holds_no_object_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("[1]")
    with pytest.raises(RunError, match=r"a is damaged \(expected a JSON object, got list\)"):
        publish.read_json(tmp_path / "a")
