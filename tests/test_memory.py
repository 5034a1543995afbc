"""Limits of containers and batch systems count as the machine's memory."""

import pytest

from analogue.errors import InvalidArgument, check_memory
from analogue.memory import usable_memory

GIB = 2**30


def system(root, groups, limits):
    for name, text in ({"proc/self/cgroup": groups} | limits).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return usable_memory(root)


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/job/step", {"sys/fs/cgroup/job/step/memory.max": "max", "sys/fs/cgroup/job/memory.max": f"{GIB}"}),
        ("0::/../of/the/machine", {"sys/fs/cgroup/memory.max": f"{GIB}\n"}),
        ("5:cpu:/x\n4:memory:/x\n0::/", {"sys/fs/cgroup/memory/x/memory.limit_in_bytes": f"{GIB}"}),
        ("4:hugetlb,memory:/gone", {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}"}),
    ],
)
def test_the_smallest_limit_around_a_process_holds(tmp_path, groups, limits):
    assert system(tmp_path, groups, limits) == GIB


def test_without_a_limit_it_is_the_machine_s(tmp_path):
    there = system(tmp_path / "none", "0::/", {"sys/fs/cgroup/memory.max": "max"})
    assert there == usable_memory(tmp_path) > GIB // 4
    most = {"sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63 - 4096)}  # how the older kind says "no limit"
    assert system(tmp_path / "most", "4:memory:/", most) == there


def test_what_is_asked_for_is_compared_with_it(monkeypatch):
    monkeypatch.setattr("analogue.errors.usable_memory", lambda: GIB)
    check_memory("null", 5, GIB)
    with pytest.raises(InvalidArgument, match=r"null=5: needs about 2 GB of memory, and .* may use 1 GB; choose less"):
        check_memory("null", 5, 2 * GIB)
