import pytest

from analogue.atomic import atomic_write


def test_a_file_and_a_folder_appear_when_the_body_has_filled_them(tmp_path):
    with atomic_write(tmp_path / "file") as temporary:
        temporary.write_text("all")
        assert not (tmp_path / "file").exists()
    with atomic_write(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "inside").touch()
    assert (tmp_path / "file").read_text() == "all"
    assert [each.name for each in (tmp_path / "folder").iterdir()] == ["inside"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def write_half(path, is_folder):
    with atomic_write(path) as temporary:
        temporary.mkdir() if is_folder else temporary.write_text("half")
        1 / 0  # noqa: B018


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_body_that_fails_leaves_what_was_there(tmp_path, is_folder):
    (tmp_path / "file").write_text("before")
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / "file", is_folder)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]
