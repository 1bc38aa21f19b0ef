import threading
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made import ball, stored

from halfmask.data import load, sample
from halfmask.data.batch import IGNORE
from halfmask.data.load import Loader
from halfmask.data.sample import Sparse, Stream

SHAPES = [(20, 24, 22), (9, 30, 30), (16, 16, 16), (5, 40, 9), (1, 28, 33)]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Five cases with an image whose numbers tell the voxel, and two classes, one of them a single voxel."""
    folder, rng = tmp_path_factory.mktemp("cases"), np.random.default_rng(0)
    made = []
    for number, shape in enumerate(SHAPES):
        where = np.arange(np.prod(shape)).reshape(shape)
        other = rng.integers(0, 255, shape).astype(np.uint8) if number % 2 else rng.normal(size=shape)
        label = ball(shape, radius=0.35).astype(np.uint8)
        label[tuple(n // 2 for n in shape)] = 2
        label[:, -2:] = IGNORE
        made.append(stored(folder / f"case {number}", np.stack([where, other]).astype(np.float32), label))
    made.append(
        stored(folder / "small", rng.integers(0, 255, (2, 6, 6, 6)).astype(np.uint8), np.ones((6,) * 3, np.uint8))
    )
    return made


def stream(
    cases, patch=(8, 10, 12), margin=(0, 0, 0), size=3, seed=0, name="labeled", labeled=True, sparse=None, slots=None
):
    return Stream(
        cases, patch=patch, margin=margin, size=size, seed=seed, name=name, labeled=labeled, sparse=sparse, slots=slots
    )


def loader(cases, *, threads=0, dims=3, unlabeled=True, **changes):
    other = stream(cases[:4], **{**changes, "name": "unlabeled", "labeled": False, "size": 2, "sparse": None})
    return Loader(stream(cases, **changes), other if unlabeled else None, dims=dims, device=CPU, threads=threads)


def same(one, other):
    return all(
        torch.equal(a.image, b.image) and torch.equal(a.case, b.case)
        and (a.label is b.label or torch.equal(a.label, b.label))
        for a, b in ((one.labeled, other.labeled), (one.unlabeled, other.unlabeled))
    )  # fmt: skip


# ---------------------------------------------------------------------------- places


def test_a_place_is_a_function_of_seed_step_and_slot(cases):
    asked = [(step, slot) for step in range(30) for slot in range(3)]
    one, other = stream(cases), stream(cases)
    forward = {a: one.place(*a) for a in asked}
    backward = {a: other.place(*a) for a in reversed(asked)}
    assert forward == backward
    for changed in (stream(cases, seed=1), stream(cases, name="unlabeled")):
        assert {a: changed.place(*a) for a in asked} != forward
    assert len({p.start for p in forward.values()}) > 40


@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_each_case_as_often_as_the_others(cases, size):
    drawn = stream(cases, size=size)
    numbers = [drawn.place(step, slot).case for step in range(60) for slot in range(size)]
    n = len(cases)
    for start in range(0, len(numbers) - n + 1, n):
        assert sorted(numbers[start : start + n]) == list(range(n)), "each once in every pass"
    assert numbers[:n] != numbers[n : 2 * n] or numbers[:n] != numbers[2 * n : 3 * n], "in another order"
    assert [drawn.epoch(step) for step in (0, 59)] == [0, 59 * size // n]


@settings(max_examples=60, deadline=None)
@given(
    patch=st.tuples(*[st.integers(1, 40)] * 3),
    margin=st.tuples(*[st.integers(0, 6)] * 3),
    seed=st.integers(0, 99),
    labeled=st.booleans(),
)
def test_the_patch_lies_inside_where_it_fits(cases, patch, margin, seed, labeled):
    drawn = stream(cases, patch=patch, margin=margin, seed=seed, labeled=labeled)
    assert drawn.crop == tuple(p + 2 * m for p, m in zip(patch, margin, strict=True))
    for step in range(8):
        place = drawn.place(step, 0)
        for start, p, m, n in zip(place.start, patch, margin, cases[place.case].shape, strict=True):
            first = start + m
            if n >= p:
                assert 0 <= first <= n - p
            else:
                assert first <= 0 and first + p >= n and abs((first + p - n) + first) <= 1, "in the middle"


def test_crops_on_foreground_show_each_class_alike(cases, monkeypatch):
    monkeypatch.setattr(sample, "FOREGROUND", 1)
    drawn, found = stream(cases[:1], patch=(4, 5, 6), size=1), Counter()
    for step in range(300):
        place = drawn.place(step, 0)
        part = tuple(slice(s, s + p) for s, p in zip(place.start, (4, 5, 6), strict=True))
        values = set(np.unique(cases[0].label[part]))
        assert values & {1, 2}
        found.update(values)
    assert found[2] > 120, "the class of one voxel is in every second crop"


# ---------------------------------------------------------------------------- batches


@pytest.mark.parametrize("changes", [{}, {"margin": (1, 2, 3)}, {"sparse": Sparse(0.3, 1, 0)}])
def test_the_same_batches_with_any_number_of_threads_from_memory_or_disk(cases, monkeypatch, changes):
    expected = list(loader(cases, **changes).batches(0, 12))
    assert all(map(same, expected[7:], loader(cases, **changes).batches(7, 12))), "from any step on"
    for place in (load._where, lambda *_: None):
        monkeypatch.setattr(load, "_where", place)
        for threads in (0, 1, 3):
            found = list(loader(cases, threads=threads, **changes).batches(0, 12))
            assert len(found) == 12 and all(map(same, expected, found))


def test_what_fits_once_may_not_fit_once_for_each_process(cases, monkeypatch):
    size = sum(load._bytes(c) for c in cases)
    monkeypatch.setattr(load, "_memory", lambda: 3 * size / load.CACHE)
    held = [load.Volumes(cases, labels=True, device=CPU, local=local).place for local in (1, 2, 3)]
    assert held == [CPU, CPU, None]


def test_processes_share_out_what_one_would_read(cases):
    whole = stream(cases, size=4)
    parts = [stream(cases, size=4, slots=range(2 * rank, 2 * rank + 2)) for rank in range(2)]
    for step in (0, 3):
        expected = next(Loader(whole, None, dims=3, device=CPU, threads=0).batches(step, step + 1)).labeled
        found = [next(Loader(p, None, dims=3, device=CPU, threads=0).batches(step, step + 1)).labeled for p in parts]
        for name in ("image", "label", "case"):
            assert torch.equal(torch.cat([getattr(images, name) for images in found]), getattr(expected, name))


def test_threads_share_one_file(cases, monkeypatch):
    """Four threads read the same compressed volume again and again."""
    monkeypatch.setattr(load, "_where", lambda *_: None)
    one = lambda threads: loader(cases[:1], threads=threads, unlabeled=False, size=8, patch=(16, 16, 16))
    assert all(map(same, one(0).batches(0, 60), one(4).batches(0, 60)))


def test_an_abandoned_loader_leaves_no_thread(cases):
    batches = loader(cases, threads=3).batches(0, 10**9)
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("loader")]


@settings(max_examples=40, deadline=None)
@given(
    patch=st.tuples(*[st.integers(1, 34)] * 3),
    margin=st.tuples(*[st.integers(0, 5)] * 3),
    seed=st.integers(0, 99),
)
def test_a_batch_is_what_stands_in_the_store(cases, patch, margin, seed):
    made = loader(cases, patch=patch, margin=margin, seed=seed, size=len(cases))
    (batch,) = made.batches(seed, seed + 1)
    crop = made.labeled.crop
    assert batch.labeled.image.shape == (len(cases), 2, *crop) and batch.labeled.image.dtype == torch.float32
    assert batch.labeled.label.shape == (len(cases), *crop) and batch.labeled.label.dtype == torch.int64
    assert batch.unlabeled.image.shape == (2, 2, *crop) and batch.unlabeled.label is None
    assert [cases[k].name for k in (*batch.labeled.case, *batch.unlabeled.case)] == made.cases(seed)
    for half, drawn in ((batch.labeled, made.labeled), (batch.unlabeled, made.unlabeled)):
        for slot in range(len(half)):
            place = drawn.place(seed, slot)
            case = cases[place.case]
            assert half.case[slot] == place.case
            assert half.place[slot].tolist() == [[i == j for j in range(3)] + [place.start[i]] for i in range(3)]
            far = [(max(0, -s), max(0, s + c - n)) for s, c, n in zip(place.start, crop, case.shape, strict=True)]
            inside = tuple(slice(b, c - a) for (b, a), c in zip(far, crop, strict=True))
            source = tuple(slice(s + i.start, s + i.stop) for s, i in zip(place.start, inside, strict=True))
            whole = case.normalized()
            image = half.image[slot].numpy()
            np.testing.assert_array_equal(image[(slice(None), *inside)], whole[(slice(None), *source)])
            outside = np.ones(crop, bool)
            outside[inside] = False
            step = case.slope[:, None] / 2 + 1e-4  # the mean need not be a stored number
            assert (abs(image[:, outside]) <= step).all()
            if half.label is not None:
                label = half.label[slot].numpy()
                np.testing.assert_array_equal(label[inside], case.label[source])
                assert (label[outside] == IGNORE).all()


def test_pictures_lose_the_axis_of_slices(cases):
    made = loader(cases, patch=(1, 16, 20), margin=(0, 2, 2), dims=2)
    (batch,) = made.batches(0, 1)
    assert batch.labeled.image.shape == (3, 2, 20, 24) and batch.labeled.label.shape == (3, 20, 24)
    assert batch.unlabeled.image.shape == (2, 2, 20, 24)


def test_without_an_unlabeled_half(cases):
    (batch,) = loader(cases, unlabeled=False).batches(4, 5)
    assert batch.unlabeled.image.shape == (0, 2, 8, 10, 12) and batch.unlabeled.label is None
    assert len(batch.image) == 3


def test_without_a_labeled_half(cases):
    pool = stream(cases, name="unlabeled", labeled=False, size=4)
    batches = list(Loader(None, pool, dims=3, device=CPU, threads=1).batches(0, 3))
    both = Loader(stream(cases), pool, dims=3, device=CPU, threads=0)
    for alone, beside in zip(batches, both.batches(0, 3), strict=True):
        assert alone.labeled.image.shape == (0, *beside.labeled.image.shape[1:])
        assert alone.labeled.label is None
        assert alone.unlabeled.image.equal(beside.unlabeled.image) and alone.unlabeled.label is None
    assert both.cases(1)[3:] == Loader(None, pool, dims=3, device=CPU).cases(1)


def test_aligned_crops_lie_at_the_same_share_of_each_axis(cases):
    patch = (6, 8, 9)
    drawn = Stream(cases, patch=patch, margin=(0, 1, 0), size=6, seed=0, name="u", labeled=False, aligned=True)
    shares = []
    for step in range(40):
        places = [drawn.place(step, slot) for slot in range(6)]
        assert len({p.case for p in places}) == len(cases)
        low, high = np.zeros(3), np.ones(3)
        for place in places:
            for axis, (n, p, m) in enumerate(zip(drawn.cases[place.case].shape, patch, (0, 1, 0), strict=True)):
                start, room = place.start[axis] + m, n - p + 1
                if room <= 1:
                    assert start == -((p - n) // 2), "in the middle"
                else:  # the share that this start says, to within a voxel
                    low[axis] = max(low[axis], start / room)
                    high[axis] = min(high[axis], (start + 1) / room)
        assert (low < high).all()
        shares.append((low + high) / 2)
    assert np.std(shares, 0).min() > 0.2


def test_an_epoch_is_a_pass_over_the_smaller_stream(cases):
    made = loader(cases)  # 6 cases by 3, and 4 by 2
    assert [made.epoch(step) for step in (0, 1, 2, 4)] == [0, 0, 1, 2]
    assert loader(cases, unlabeled=False).epoch(4) == 2


# ---------------------------------------------------------------------------- sparse slices


def test_annotated_slices_are_nested_and_fixed_by_the_seed(cases):
    for case in cases:
        for axis in range(3):
            before = set()
            for share in (0.01, 0.2, 0.5, 0.9, 1.0):
                kept = Sparse(share, axis, seed=3).annotated(case)
                np.testing.assert_array_equal(kept, Sparse(share, axis, seed=3).annotated(case))
                assert len(kept) == max(1, round(share * case.shape[axis])) and (np.diff(kept) > 0).all()
                assert before <= set(kept)
                before = set(kept)
            assert before == set(range(case.shape[axis]))
    kept = lambda case, seed: tuple(Sparse(0.5, 1, seed).annotated(case))
    assert len({kept(cases[0], seed) for seed in range(5)}) == 5
    assert kept(cases[1], 0)[:5] != kept(cases[4], 0)[:5]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("forced", [0, 1])
def test_only_annotated_slices_have_labels(cases, monkeypatch, axis, forced):
    monkeypatch.setattr(sample, "FOREGROUND", forced)
    cases = cases[:3]
    sparse = Sparse(0.15, axis, seed=1)
    patch, margin = (8, 10, 12), (1, 1, 1)
    made = loader(cases, patch=patch, margin=margin, size=3, sparse=sparse, threads=2)
    seen = {number: set() for number in range(3)}
    for step, batch in enumerate(made.batches(0, 60)):
        assert batch.unlabeled.label is None
        for slot in range(3):
            place = made.labeled.place(step, slot)
            number, start = place.case, place.start[axis]
            label = batch.labeled.label[slot].movedim(axis, 0).numpy()
            kept = sparse.annotated(cases[number])
            for position, annotated in enumerate(label):
                at = start + position
                if at in kept:
                    truth = np.moveaxis(cases[number].label[:], axis, 0)[at]
                    assert set(np.unique(annotated)) - {IGNORE} <= set(np.unique(truth))
                    seen[number].add(at)
                else:
                    assert (annotated == IGNORE).all()
            inner = [start + position for position in range(1, 1 + patch[axis])]
            assert set(inner) & set(kept), "each crop shows an annotated slice, in the patch and not in its margin"
    for number, found in seen.items():
        if not forced:
            assert found == set(sparse.annotated(cases[number])), "all that is annotated is used"


def test_in_2d_only_annotated_slices_are_drawn(cases):
    sparse = Sparse(0.3, 0, seed=0)
    made = stream(cases, patch=(1, 12, 12), sparse=sparse)
    drawn = Counter()
    for step in range(200):
        for slot in range(3):
            place = made.place(step, slot)
            assert place.start[0] in sparse.annotated(cases[place.case])
            drawn[place.case, place.start[0]] += 1
    assert len(drawn) == sum(len(sparse.annotated(c)) for c in cases)
    assert stream(cases, patch=(1, 12, 12), labeled=False, sparse=sparse).slices is None


def test_labels_that_are_sparse_in_the_files_are_found(tmp_path):
    """Three slices of twenty annotated, two of them all background: every crop shows some of it."""
    label = np.full((20, 16, 16), IGNORE, np.uint8)
    label[[3, 9, 15]] = 0
    label[9, 4:8, 4:8] = 1
    case = stored(tmp_path / "sparse", np.random.default_rng(0).normal(size=(1, 20, 16, 16)), label)
    for patch, dims in (((1, 16, 16), 2), ((4, 16, 16), 3)):
        made = Loader(stream([case], patch=patch, size=8), None, dims=dims, device=CPU, threads=0)
        for batch in made.batches(0, 20):
            assert (batch.labeled.label != IGNORE).flatten(1).any(1).all()
    drawn = {stream([case], patch=(1, 16, 16), size=1).place(step, 0).start[0] for step in range(60)}
    assert drawn == {3, 9, 15}


def test_a_share_of_slices_that_leaves_all_of_them_is_refused(tmp_path):
    """A picture has one slice along axis 0: a fifth of it would silently be all."""
    picture = stored(tmp_path / "picture", np.zeros((1, 1, 28, 33), np.uint8), np.ones((1, 28, 33), np.uint8))
    with pytest.raises(ValueError, match=r"leaves every slice labeled: axis 0 has \[1\] slices"):
        stream([picture], patch=(1, 8, 8), sparse=Sparse(0.2, 0, seed=0))
    assert len(stream([picture], patch=(1, 8, 8), sparse=Sparse(0.2, 1, seed=0)).slices[0]) == 6
