import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import ball, digests, stored

from halfmask.data.atomic import atomic
from halfmask.data.batch import IGNORE
from halfmask.data.store import source_key
from halfmask.data.stored_case import StoredCase, encode, is_sound

SHAPE = (20, 70, 33)
INSIDE = ball(SHAPE, radius=0.4)


def smooth(seed=0):
    """A brain-like image with a dark background, about 0–1."""
    rng = np.random.default_rng(seed)
    image = np.where(INSIDE, 0.5 + 0.1 * rng.normal(size=SHAPE), 0.01 * rng.random(SHAPE))
    return image.clip(0, 1)[None].astype(np.float32)


def statistics(image):
    inside = image[:, INSIDE].astype(np.float64)
    return inside.mean(1), inside.std(1)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: 1e6 * x,
        lambda x: 1e-9 * x,
        lambda x: -500 - 37.3 * x,
        lambda x: 1000 + 0.5 * x,
        lambda x: x.astype(np.float64),
        lambda x: np.exp(6 * x),
    ],
    ids=["0 to 1", "0 to 1e6", "1e-9", "negative", "far from 0", "float64", "long tail"],
)
@pytest.mark.parametrize("spike", [False, True])
def test_the_error_is_under_a_thousandth_of_the_sd(tmp_path, change, spike):
    image = change(smooth())
    mean, sd = statistics(image)
    truth = (image.astype(np.float64) - mean[0]) / sd[0]
    if spike:
        image[0, 10, 30, 15] += 1000 * abs(image).max()
    found = stored(tmp_path / "case", image, mean=mean, sd=sd).normalized()
    assert found.dtype == np.float32
    error = abs(found - truth)[0]
    if spike:
        assert found[0, 10, 30, 15] >= np.percentile(found, 99), "it stays bright"
        error[10, 30, 15] = 0
    assert error.max() < 0.001


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.arange(256, dtype=np.uint8), np.uint8),
        (np.array([0.0, 17, 255], np.float32), np.uint8),
        (np.array([-1024, 3071], np.int16), np.int16),
        (np.array([-32768, 32767], np.int32), np.int16),
        (np.array([0, 65535, 40000], np.uint16), np.int16),
        (np.array([100_000, 165_535], np.int64), np.int16),
        (np.array([0, 300], np.float64), np.int16),
        (np.array([7], np.int16), np.uint8),
        (np.array([0, 300], ">i2"), np.int16),
    ],
)
def test_whole_numbers_are_kept_exactly(array, dtype):
    found, scale, offset = encode(array.reshape(1, 1, -1))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.astype(np.float64)[0, 0] * scale + offset, array)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-6, 1e9), center=st.floats(-1e6, 1e6))
def test_any_numbers_come_back_within_half_a_step(seed, scale, center):
    array = np.random.default_rng(seed).uniform(-1, 1, (5, 6, 7)) * scale + center
    found, step, offset = encode(array)
    np.testing.assert_allclose(found.astype(np.float64) * step + offset, array, rtol=1e-12, atol=0.501 * step)
    assert step <= np.ptp(array) / 65535 * 1.001


@pytest.mark.parametrize("value", [0, 0.3, -1e30, np.float32(7)])
def test_one_value(value):
    found, scale, offset = encode(np.full((2, 2, 2), value))
    np.testing.assert_allclose(found.astype(np.float64) * scale + offset, value, rtol=1e-6)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    image = np.concatenate([smooth(), (1000 * smooth(1)).round(), (200 * smooth(2)).round()])
    label = INSIDE.astype(np.uint8)
    label[10, 35, 10:12], label[:2] = 7, IGNORE
    return stored(tmp_path_factory.mktemp("store") / "patient", image, label), image, label


def test_crops_are_slices_of_the_whole(case):
    found, image, label = case
    assert (found.name, found.shape, found.labeled, len(found.channels)) == ("patient", SHAPE, True, 3)
    np.testing.assert_array_equal(found.image[:][1:] * found.slope[1:, None, None, None].dtype.type(1), image[1:])
    np.testing.assert_array_equal(found.label[:], label)
    rng = np.random.default_rng(0)
    for _ in range(20):
        first = [rng.integers(n) for n in SHAPE]
        part = tuple(slice(f, rng.integers(f, n) + 1) for f, n in zip(first, SHAPE, strict=True))
        np.testing.assert_array_equal(found.image[(slice(None), *part)], found.image[:][(slice(None), *part)])
        np.testing.assert_array_equal(found.label[part], label[part])


@pytest.mark.parametrize("edge", [None, 64])
def test_crops_of_pictures(tmp_path, monkeypatch, edge):
    """Written by chunks as large as a picture, or by small ones as they were before: they stand in the file."""
    from halfmask.data import stored_case

    if edge:
        monkeypatch.setattr(stored_case, "_chunk", lambda spatial: tuple(min(n, edge) for n in spatial))
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (3, 1, 530, 100)).astype(np.uint8)
    label = (image[0] > 99).astype(np.uint8)
    found = stored(tmp_path / "picture", image, label)
    assert found.image.chunks == ((1, 1, 64, 64) if edge else (1, 1, 512, 100))
    np.testing.assert_array_equal(found.image[:], image)
    for row, column in ((0, 0), (470, 30), (505, 99), (529, 60)):
        part = (slice(0, 1), slice(row, row + 60), slice(column, column + 40))
        np.testing.assert_array_equal(found.image[(slice(None), *part)], image[(slice(None), *part)])
        np.testing.assert_array_equal(found.label[part], label[part])


def test_voxels_are_counted_and_remembered(case):
    found, _, label = case
    assert found.voxels == {int(k): int((label == k).sum()) for k in np.unique(label)}
    assert set(found.locations) == {0, 1, 7}
    for k, places in found.locations.items():
        assert 0 < len(places) <= 1000
        assert (label[tuple(places.T)] == k).all()
    slices = np.unique(np.argwhere(label == 1)[:, 0])
    np.testing.assert_array_equal(np.unique(found.locations[1][:, 0]), slices)


def test_an_unlabeled_case(tmp_path):
    found = stored(tmp_path / "u", smooth())
    assert not found.labeled and found.voxels == {}
    assert {p.name for p in (tmp_path / "u").iterdir()} == {"image.b2nd", "case.json"}


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_no_changed_byte_is_taken_for_sound(case, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken") / "patient"
    shutil.copytree(case[0].folder, folder)
    assert is_sound(folder, "key") and not is_sound(folder, "other key")
    file = folder / data.draw(st.sampled_from(sorted(p.name for p in folder.iterdir())))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    before = content[place]
    content[place] = data.draw(st.integers(0, 255).filter(lambda v: v != before))
    if file.suffix == ".json" and bytes([before, content[place]]).isspace():
        return
    file.write_bytes(content)
    assert not is_sound(folder, "key")


@pytest.mark.parametrize("name", ["image.b2nd", "label.b2nd", "case.json", "locations.npz"])
def test_a_missing_file(case, tmp_path, name):
    shutil.copytree(case[0].folder, tmp_path / "patient")
    (tmp_path / "patient" / name).unlink()
    assert not is_sound(tmp_path / "patient", "key")
    with pytest.raises(ValueError, match=r"patient.*run `halfmask prepare` again"):
        [getattr(StoredCase(tmp_path / "patient"), part) for part in ("image", "label", "locations")]


@pytest.mark.parametrize("content", ["[]", "null", "{}", '{"digests": 3, "key": "key"}', "{", "\x00"])
def test_what_is_no_case(tmp_path, content):
    (tmp_path / "case.json").write_text(content)
    assert not is_sound(tmp_path, "key")
    with pytest.raises(ValueError, match="holds no stored case"):
        StoredCase(tmp_path)


def test_a_key_tells_when_a_source_changes(tmp_path):
    from halfmask.data.index import Case

    image, label = tmp_path / "i.nii", tmp_path / "l.nii"
    image.write_bytes(b"1")
    label.write_bytes(b"2")
    keys = {source_key(Case("a", (image,), label)), source_key(Case("a", (image,)))}
    label.write_bytes(b"23")
    keys.add(source_key(Case("a", (image,), label)))
    assert len(keys) == 3


# ---------------------------------------------------------------------------- atomic


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def write(content, fail=False):
        with atomic(tmp_path / "case") as partial:
            partial.mkdir()
            (partial / "file").write_text(content)
            if fail:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write("half", fail=True)
    assert list(tmp_path.iterdir()) == []
    write("one")
    with pytest.raises(KeyboardInterrupt):
        write("half", fail=True)
    assert (tmp_path / "case" / "file").read_text() == "one"
    write("two")
    assert (tmp_path / "case" / "file").read_text() == "two"
    assert list(tmp_path.iterdir()) == [tmp_path / "case"]


def test_a_case_is_not_stored_by_halves(tmp_path, monkeypatch):
    from halfmask.data import stored_case

    monkeypatch.setattr(stored_case, "_locations", lambda label: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stored(tmp_path / "case", smooth(), INSIDE.astype(np.uint8))
    assert digests(tmp_path) == {} and list(tmp_path.iterdir()) == []


def test_the_next_writing_removes_what_a_kill_left_and_nothing_else(tmp_path):
    left = [tmp_path / ".partial-1-b", tmp_path / ".partial-1.old-b"]
    others = [
        tmp_path / ".partial-1-a-b",
        tmp_path / ".partial-1-b.json",
        tmp_path / ".partial-1-2-b",
        tmp_path / "b-b",
    ]
    for folder in (*left, *others):
        folder.mkdir()
        (folder / "file").write_text("")
    with atomic(tmp_path / "b") as partial:
        partial.write_text("")
    assert set(tmp_path.iterdir()) == {*others, tmp_path / "b"}
