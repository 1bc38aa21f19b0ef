import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml
from made import digests, nifti

from halfmask.data.layouts import read_index
from halfmask.data.phantom import make_phantoms
from halfmask.data.prepare import CaseWriter, prepare
from halfmask.data.store import Store, case_folder
from halfmask.data.stored_case import is_sound

TESTED = "phantom_000"
TRAINED = [f"phantom_{n:03}" for n in range(1, 6)]


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    return make_phantoms(tmp_path_factory.mktemp("phantoms"), subjects=6, labeled=3, test=1, shape=(32, 36, 32))


@pytest.fixture(scope="session")
def prepared(phantoms, tmp_path_factory):
    return prepare(read_index(phantoms), tmp_path_factory.mktemp("prepared") / "store").path


@pytest.fixture
def store(prepared, tmp_path):
    """A copy, times of change and all."""
    return Path(shutil.copytree(prepared, tmp_path / "store"))


def content(folder):
    return {name: digest for name, (digest, _) in digests(folder).items()}


def remade(before, after):
    """The files that are not as they were, as the first two parts of their paths."""
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return {"/".join(Path(name).parts[:2]) for name in changed}


def test_a_huge_cohort_is_planned_on_a_part_of_it(phantoms, tmp_path, monkeypatch):
    """And says so; which label values there are is asked of all."""
    from halfmask.data import prepare as module

    monkeypatch.setattr(module, "PLANNED", 2)
    plan = prepare(read_index(phantoms), tmp_path / "store").plan
    assert any(re.match(r"planned on \d of 5 cases", reason) for reason in plan.why)
    about = json.loads((tmp_path / "store/fingerprint.json").read_text())["cases"]
    assert 0 < sum(case["intensities"] is not None for case in about.values()) <= 2
    assert set(plan.labels.values()) == {0, 1, 2}
    assert prepare(read_index(phantoms), tmp_path / "store").plan == plan, "the second time from what is remembered"


def test_a_huge_cohort_is_planned_on_cases_that_are_not_tested(phantoms, tmp_path, monkeypatch):
    """Even if those that come first are sealed, by the data set or by an edit of splits.yaml."""
    from halfmask.data import prepare as module

    monkeypatch.setattr(module, "PLANNED", 1)
    index, out = read_index(phantoms), tmp_path / "store"
    prepare(index, out)
    splits = yaml.safe_load((out / "splits.yaml").read_text())
    planned = next(
        n for n, c in json.loads((out / "fingerprint.json").read_text())["cases"].items() if c["intensities"]
    )
    assert planned != TESTED
    splits["test"].append(planned)
    for part in ("folds", "labeled"):
        splits[part] = [[c for c in names if c != planned] for names in splits[part]]
    (out / "splits.yaml").write_text(yaml.safe_dump(splits))
    (out / "plan.yaml").unlink()
    assert prepare(index, out).plan.channels


def test_what_a_plan_says_of_spacing_and_regions_has_to_agree(phantoms, tmp_path, capsys):
    index, out = read_index(phantoms), tmp_path / "store"
    prepare(index, out, spacing=(1 / 0.7, 1.25))
    assert prepare(index, out, spacing=(1 / 0.7, 1.25)).plan.spacing[1:] == (1.42857, 1.25)
    with pytest.raises(ValueError, match="spacing is"):
        prepare(index, out, spacing=(1.25, 1.25))
    capsys.readouterr()
    prepare(dataclasses.replace(index, regions={"all": (1, 2)}), out)
    assert "warning: the regions in" in capsys.readouterr().err


def test_what_is_in_a_store(prepared, phantoms):
    store = Store(prepared)
    assert {p.name for p in prepared.iterdir()} == {
        "plan.yaml",
        "splits.yaml",
        "fingerprint.json",
        "index.json",
        "cases",
    }
    assert list(store.stored) == TRAINED == sorted(p.name for p in (prepared / "cases").iterdir())
    assert store.splits.test == (TESTED,)
    assert sorted(store.sources) == [TESTED, *TRAINED]
    source = store.sources["phantom_001"]
    assert source.images[0].is_file() and source.label.is_file() and source.images[0].is_absolute()
    for name in store.stored:
        case = store.case(name)
        assert case.labeled == (name in TRAINED[:3]) and len(case.channels) == 2
        assert case.image.shape == (2, *case.shape)
        assert np.all(case.normalized().max((1, 2, 3)) > 0)
    assert store.case("phantom_001").voxels.keys() == {0, 1, 2}
    with pytest.raises(ValueError, match="'phantom_01'; did you mean 'phantom_0"):
        store.case("phantom_01")


def test_a_second_time_nothing_is_done(store, phantoms):
    before = digests(store)
    prepare(read_index(phantoms), store)
    assert digests(store) == before


@pytest.mark.parametrize("damage", ["byte", "file", "folder", "all of it"])
def test_what_is_damaged_is_made_again_and_nothing_else(store, phantoms, damage):
    before, case = digests(store), store / "cases" / "phantom_002"
    if damage == "byte":
        file = case / "image.b2nd"
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "file":
        (case / "label.b2nd").unlink()
    else:
        shutil.rmtree(case if damage == "folder" else store / "cases")
    prepare(read_index(phantoms), store)
    assert {name: d for name, (d, _) in before.items()} == content(store)
    if damage != "all of it":
        assert remade(before, digests(store)) == {"cases/phantom_002", "index.json"}


def edit(file, **changes):
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))


def test_an_edited_plan_is_obeyed(store, phantoms):
    edit(store / "plan.yaml", spacing=[8.0, 5.0, 5.0])
    with pytest.raises(ValueError, match=r"plan.yaml was edited.*prepare` again"):
        Store(store).plan  # noqa: B018
    before = digests(store)
    prepare(read_index(phantoms), store)
    assert remade(before, digests(store)) == {*(f"cases/{name}" for name in TRAINED), "index.json"}
    assert Store(store).plan.spacing == (8, 5, 5)
    box = Store(store).case("phantom_001").box
    assert Store(store).case("phantom_001").shape[0] == round((box[0][1] - box[0][0]) * 5 / 8)

    edit(store / "plan.yaml", labeled=7)
    before = digests(store)
    assert prepare(read_index(phantoms), store).plan.labeled == 7
    assert remade(before, digests(store)) == set(), "what is stored does not depend on it"

    edit(store / "plan.yaml", labled=7)
    with pytest.raises(ValueError, match="'labled'; did you mean 'labeled'"):
        prepare(read_index(phantoms), store)


def test_edited_splits_are_obeyed(store, phantoms):
    edit(store / "splits.yaml", test=["phantom_004", "phantom_005"])
    (store / "plan.yaml").unlink()
    prepare(read_index(phantoms), store)
    assert sorted(p.name for p in (store / "cases").iterdir()) == [TESTED, *TRAINED[:3]]
    assert sorted(json.loads((store / "fingerprint.json").read_text())["cases"]) == [TESTED, *TRAINED[:3]]
    edit(store / "splits.yaml", test=["phantom_007"])
    with pytest.raises(ValueError, match="'phantom_007'; did you mean"):
        prepare(read_index(phantoms), store)


def test_a_changed_image_is_read_again(store, phantoms, tmp_path):
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    prepare(read_index(data), store)
    image = nibabel.load(data / "imagesTr" / "phantom_001.nii.gz")
    nifti(data / "imagesTr" / "phantom_001.nii.gz", np.moveaxis(image.get_fdata() * 2, -1, 0), image.affine)
    before = digests(store)
    prepare(read_index(data), store)
    assert remade(before, digests(store)) == {"cases/phantom_001", "fingerprint.json", "index.json"}


def test_test_cases_have_no_part_in_the_plan(prepared, phantoms, tmp_path):
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    for part in ("imagesTs", "labelsTs"):
        (file,) = (data / part).glob("*.nii.gz")
        image = nibabel.load(file)
        array = np.asanyarray(image.dataobj)
        if part == "imagesTs":
            array = np.random.default_rng(0).normal(1e6, 1, array.shape).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(array[::-1, :4], np.diag([0.1, 9, 2, 1])), file)
    other = prepare(read_index(data), tmp_path / "store")
    for name in ("plan.yaml", "splits.yaml"):
        assert (other.path / name).read_text() == (prepared / name).read_text()
    for store in (prepared, other.path):
        measured = json.loads((store / "fingerprint.json").read_text())
        assert sorted(measured["cases"]) == TRAINED and TESTED in measured["sources"]
    cases = lambda store: {k: v for k, v in content(store / "cases").items() if "case.json" not in k}
    assert cases(other.path) == cases(prepared)


def test_faults_are_all_told_before_anything_is_stored(phantoms, tmp_path):
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    (data / "imagesTr" / "phantom_003.nii.gz").write_bytes(b"")
    label = nibabel.load(data / "labelsTr" / "phantom_001.nii.gz")
    nifti(data / "labelsTr" / "phantom_001.nii.gz", np.asanyarray(label.dataobj)[1:], label.affine)
    (test_label,) = (data / "labelsTs").glob("*.nii.gz")
    nifti(test_label, np.full(label.shape, 9, np.uint8), label.affine)
    with pytest.raises(ValueError, match="the data set has 3 faults") as error:
        prepare(read_index(data), tmp_path / "store")
    for text in ("phantom_003.nii.gz: cannot be read", "has shape (31, 36, 32)", "[9] are not declared"):
        assert text in str(error.value)
    assert not (tmp_path / "store").exists()
    (data / "imagesTr" / "phantom_003.nii.gz").unlink()
    test_label.unlink()
    with pytest.raises(ValueError, match=r"(?s)phantom_003.*no such file.*phantom_000.*no such file"):
        prepare(read_index(data), tmp_path / "store")


def test_a_foreign_folder_is_left_alone(phantoms, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("all of it")
    before = digests(tmp_path)
    with pytest.raises(ValueError, match="not empty and no store"):
        prepare(read_index(phantoms), tmp_path / "thesis")
    assert digests(tmp_path) == before
    with pytest.raises(ValueError, match="is no finished store; run `halfmask prepare"):
        Store(tmp_path / "thesis")


def test_what_a_kill_leaves_is_no_foreign_folder(phantoms, tmp_path, prepared):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".partial-1-fingerprint.json").write_text("{")
    prepare(read_index(phantoms), tmp_path / "store")
    assert content(tmp_path / "store") == content(prepared)


def test_an_ignore_value_given_by_hand(tmp_path):
    """The data set does not declare it; the check, the plan and the store must all know of it."""
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.yaml").write_text("labels: {background: 0, tumor: 1}")
    for name in "abc":
        nifti(tmp_path / "data" / "images" / f"{name}.nii.gz", rng.normal(size=(9, 9, 9)).astype(np.float32))
        nifti(tmp_path / "data" / "labels" / f"{name}.nii.gz", rng.choice([0, 1, 77], (9, 9, 9)).astype(np.uint8))
    index = read_index(tmp_path / "data")
    with pytest.raises(ValueError, match=r"\[77\] are not declared"):
        prepare(index, tmp_path / "store")
    store = prepare(index, tmp_path / "store", ignore_value=77)
    assert (store.plan.labels, store.plan.ignore_value) == ({"background": 0, "tumor": 1}, 77)
    assert store.case(store.stored[0]).voxels.keys() == {0, 1, 255}


SCRIPT = """
import sys, time
from pathlib import Path
import halfmask.data.prepare as room
from halfmask.data.layouts import read_index
from halfmask.data.parallel import workers

write = room.write_case
def slow(*given):
    write(*given)
    time.sleep(0.4)
room.write_case = slow

if __name__ == "__main__":
    with workers(2) as executor:
        room.prepare(read_index(Path(sys.argv[1])), Path(sys.argv[2]), executor=executor)
"""


def running(process):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(true, seconds):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_at_any_moment_it_goes_on(phantoms, prepared, tmp_path):
    (tmp_path / "slow.py").write_text(SCRIPT)
    store = tmp_path / "store"
    main = subprocess.Popen(
        [sys.executable, str(tmp_path / "slow.py"), str(phantoms), str(store)], stderr=subprocess.PIPE
    )
    try:
        stored = lambda: list(store.glob("cases/phantom_*/case.json"))
        wait_until(lambda: stored() or main.poll() is not None, 60)
        children = [int(p) for p in Path(f"/proc/{main.pid}/task/{main.pid}/children").read_text().split()]
        assert len(children) >= 2
    finally:
        os.kill(main.pid, signal.SIGKILL)
        main.communicate()
    wait_until(lambda: not any(map(running, children)), 10)
    assert 1 <= len(stored()) < len(TRAINED), "it was killed in the middle"
    with pytest.raises(ValueError, match="is no finished store"):
        Store(store)
    writer = CaseWriter(store, Store(prepared).plan)
    for case in read_index(phantoms).cases:
        folder = case_folder(store, case.name)
        assert is_sound(folder, writer.key(case)) == folder.exists()
    half = store / "cases" / ".partial-1-phantom_004"
    half.mkdir()
    (half / "image.b2nd").write_bytes(b"half")
    before = {p: p.stat().st_mtime_ns for p in stored()}
    prepare(read_index(phantoms), store)
    assert content(store) == content(prepared)
    assert before.items() <= {p: p.stat().st_mtime_ns for p in stored()}.items(), "what was stored is kept"


def test_arguments_that_the_store_contradicts_are_refused(phantoms, tmp_path):
    """What was decided stays decided: the same command goes on, another one is told what differs."""
    index = read_index(phantoms)
    prepare(index, tmp_path / "store", test=0.25, memory_gib=4.0)
    prepare(index, tmp_path / "store", test=0.25, memory_gib=4.0)
    with pytest.raises(
        ValueError, match=r"splits.yaml exists and is obeyed, but test is 0.25 there, 0.5 was asked for"
    ):
        prepare(index, tmp_path / "store", test=0.5)
    with pytest.raises(ValueError, match=r"plan.yaml .* dims is 3 there, 2 .*; memory_gib is 4.0 there, 1.0"):
        prepare(index, tmp_path / "store", dims=2, memory_gib=1.0)
    file = tmp_path / "store" / "splits.yaml"
    told = yaml.safe_load(file.read_text())
    assert told["drawn"] == {"test": 0.25, "seed": 0, "folds": 5, "stratify": False}
    for drawn in (told["drawn"], {"test": 0.25, "seed": 0}):  # now, and in files of older versions
        edit(file, drawn=drawn)
        prepare(index, tmp_path / "store", folds=5, stratify=False)
        with pytest.raises(ValueError, match=r"folds is 5 there, 2 was .*; stratify is False there, True was"):
            prepare(index, tmp_path / "store", folds=2, stratify=True)


def test_a_prepare_that_fails_decides_nothing(phantoms, tmp_path):
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    saved = {p: p.read_bytes() for p in (data / "labelsTr").glob("*.nii.gz")}
    for path in saved:
        label = nibabel.load(path)
        nifti(path, np.zeros(label.shape, np.uint8), label.affine)
    with pytest.raises(ValueError, match="every label outside the test part is empty"):
        prepare(read_index(data), tmp_path / "store", seed=1)
    for path, content in saved.items():
        path.write_bytes(content)
    assert prepare(read_index(data), tmp_path / "store", seed=2).splits.drawn["seed"] == 2
