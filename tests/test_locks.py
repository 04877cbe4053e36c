"""Who owns a file that is being written, and what becomes of one that nobody owns."""

import errno
import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.errors import NotWritten
from harness.locks import Lock, own, remove_unowned
from harness.results.cells import write_folder
from harness.results.store import Store, make_store, write_whole
from tests.faults import parts


def test_a_part_that_is_being_written_stays_and_one_that_nobody_owns_is_cleared(tmp_path):
    folder = tmp_path / "predictions"
    folder.mkdir()
    left, written = folder / ".left.npz.part", folder / ".written.npz.part"
    left.write_bytes(b"half")
    descriptor = own(written)
    make_store(tmp_path)
    assert parts(tmp_path) == [written]
    os.close(descriptor)
    make_store(tmp_path)
    assert parts(tmp_path) == []


def test_a_folder_that_is_being_written_stays_and_one_that_nobody_owns_is_cleared(tmp_path):
    store = Store(tmp_path)
    left, written = (tmp_path / "fits" / key[:2] / f".{key}.new.part" for key in ("aaa1", "bbb1"))
    for folder in (left, written):
        folder.mkdir(parents=True)
    with store.lock("bbb1"):
        make_store(tmp_path)
        assert parts(tmp_path) == [written]
    make_store(tmp_path)
    assert parts(tmp_path) == []


def test_many_writers_of_one_file_leave_one_of_their_contents_while_others_clear_up(tmp_path):
    path, stop = tmp_path / "runs" / "one", threading.Event()
    contents = [bytes([i]) * 5000 for i in range(4)]

    def clear():
        while not stop.is_set():
            Store(tmp_path).clear_parts()

    def write(content):
        for _ in range(15):
            write_whole(path, content)
            assert path.read_bytes() in contents

    clearing = threading.Thread(target=clear)
    clearing.start()
    try:
        with ThreadPoolExecutor(len(contents)) as pool:
            list(pool.map(write, contents))
    finally:
        stop.set()
        clearing.join()
    assert path.read_bytes() in contents and parts(tmp_path) == []


def test_what_is_no_part_any_more_is_not_removed(tmp_path):
    part, path = tmp_path / ".one.part", tmp_path / "one"
    descriptor = own(part)
    part.replace(path)
    assert not remove_unowned(part)
    os.close(descriptor)
    assert path.exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_a_lock_on_a_disk_without_locks_is_words_and_never_a_mere_file(tmp_path, monkeypatch, number):
    def flock(descriptor, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(NotWritten, match=f"{tmp_path} cannot be written: .*; use a folder on one that has them"):
        Lock(tmp_path / "one.lock").acquire()
    for write in (lambda: write_whole(tmp_path / "file", b"1"), lambda: make_store(tmp_path)):
        with pytest.raises(NotWritten, match="without file locks"):
            write()
    assert list(tmp_path.iterdir()) == []


def test_locks_that_fail_later_are_words_too(tmp_path, monkeypatch):
    with Lock(tmp_path / "one.lock"):
        pass

    def flock(descriptor, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(NotWritten, match="No locks available"), Lock(tmp_path / "one.lock"):
        pass


def test_a_folder_takes_the_place_of_another_one_whole(tmp_path):
    folder = tmp_path / "ab" / "abc"
    write_folder(folder, {"one": b"1", "two": b"2"})
    write_folder(folder, {"one": b"3"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"one": b"3"}
    assert [path.name for path in folder.parent.iterdir()] == ["abc"]
