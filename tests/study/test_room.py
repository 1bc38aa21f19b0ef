"""How many jobs fit beside each other."""

import pytest
import torch

from halfmask.study.job import Need
from halfmask.study.room import Room, this_room


def taken(room, needs):
    """What each job is told, in turn; None for those that have to wait."""
    return [room.take(str(n), need) for n, need in enumerate(needs)]


@pytest.mark.parametrize(
    ("room", "need", "together"),
    [
        (Room(8, 100), Need(1, 1.0), 8),  # as many as cores
        (Room(8, 10), Need(1, 4.0), 2),  # as memory lets
        (Room(8, 2), Need(1, 4.0), 1),  # one may still get through
        (Room(16, 100, {"0": 24, "1": 24}), Need(1, 1.0, 10.0), 4),  # two on each GPU
        (Room(8, 100, parallel=3), Need(1, 1.0), 3),
    ],
)
def test_as_many_as_fit_at_once(room, need, together):
    assert room.split([need] * 50) == together
    assert room.split([need] * 2) == min(together, 2) or room.parallel


def test_jobs_wait_for_memory_and_begin_when_it_is_free():
    room = Room(8, 10)
    assert taken(room, [Need(1, 6), Need(1, 6), Need(1, 3)]) == [{}, None, {}]
    room.free("0")
    assert room.take("1", Need(1, 6)) == {}


def test_small_jobs_share_a_gpu_and_each_knows_which():
    room = Room(16, 100, {"2": 24, "5": 24})
    seen = taken(room, [Need(1, 1, 10)] * 5)
    assert [told and told["CUDA_VISIBLE_DEVICES"] for told in seen] == ["2", "5", "2", "5", None]


def test_a_job_that_asks_for_more_than_there_is_runs_alone():
    room = Room(4, 8, {"0": 10})
    large = Need(1, 50, 40)
    assert room.take("large", large) == {"CUDA_VISIBLE_DEVICES": "0"}
    assert room.take("small", Need(1, 1, 1)) is None
    room.free("large")
    assert room.take("small", Need(1, 1, 1)) is not None
    assert room.take("large", large) is None


def test_this_computer_has_room():
    room = this_room(parallel=None, device="cpu")
    assert room.cores >= 1 and room.memory > 0 and not room.gpus


@pytest.mark.parametrize(
    ("seen", "names"), [(None, ["0", "1"]), ("3,5", ["3", "5"]), ("GPU-8932f937,MIG-7d", ["GPU-8932f937", "MIG-7d"])]
)
def test_gpus_are_called_as_the_environment_calls_them(monkeypatch, seen, names):
    """On clusters they have no numbers, and number 0 may be someone else's."""
    if seen is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda n: (10 * 2**30, 16 * 2**30))
    room = this_room(parallel=None, device="auto")
    assert room.gpus == dict.fromkeys(names, pytest.approx(6.0))
    assert [told and told["CUDA_VISIBLE_DEVICES"] for told in taken(room, [Need(1, 0, 5.0)] * 2)] == names
