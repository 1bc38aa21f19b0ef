import re

import numpy as np
import pytest
from made import blob, nifti

from halfmask import verbs
from halfmask.data.layouts import is_data_set, read_images, read_index
from halfmask.data.store import Store
from halfmask.evaluation import note

HEAD = "participant_id\tage\tsite\n"


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def scans(root, *, subjects="AB", sessions=(1, 2), names=("T1w", "FLAIR")):
    """sub-A/ses-1/anat/sub-A_ses-1_T1w.nii.gz, …"""
    touch(root, "dataset_description.json")
    for s in subjects:
        for n in sessions:
            touch(root, *(f"sub-{s}/ses-{n}/anat/sub-{s}_ses-{n}_{name}.nii.gz" for name in names))
    return root


def masks(root, name, *, subjects="AB", sessions=(1,), pipeline="manual"):
    for s in subjects:
        for n in sessions:
            touch(root, f"derivatives/{pipeline}/sub-{s}/ses-{n}/anat/sub-{s}_ses-{n}_{name}.nii.gz")
    return root


def shown(index):
    """Case name to what its files are called without subject and session."""
    bare = lambda path: re.sub(r"sub-\w+?_(ses-\w+?_)?", "", path.name.removesuffix(".nii.gz"))
    return {c.name: ([bare(p) for p in c.images], c.label and bare(c.label)) for c in index.cases}


def told(index, severity="error"):
    return [str(f) for f in index.faults if f.severity == severity]


def test_sessions_are_cases_and_subjects_groups(tmp_path):
    root = masks(scans(tmp_path), "label-lesion_mask")
    touch(root, *(f"derivatives/manual/sub-A/ses-{n}/anat/sub-A_ses-{n}_desc-brain_mask.nii.gz" for n in (1, 2)))
    touch(root, "sub-A/ses-1/dwi/sub-A_ses-1_dwi.nii.gz", "sub-A/ses-1/anat/sub-A_ses-1_T1w.json")
    touch(root, "sourcedata/sub-Z/anat/sub-Z_T1w.nii.gz", "code/x.py", ".git/annex/y.nii.gz")
    index = read_index(root)
    channels = ["T1w", "FLAIR"]
    assert shown(index) == {
        "sub-A_ses-1": (channels, "label-lesion_mask"), "sub-A_ses-2": (channels, None),
        "sub-B_ses-1": (channels, "label-lesion_mask"), "sub-B_ses-2": (channels, None),
    }  # fmt: skip
    assert index.channels == tuple(channels)
    assert [c.group for c in index.cases] == ["sub-A", "sub-A", "sub-B", "sub-B"]
    assert (index.faults, is_data_set(root)) == ((), True)


def test_channels_choose_among_runs_and_acquisitions(tmp_path):
    names = ("acq-mprage_run-1_T1w", "acq-mprage_run-2_T1w", "acq-se_T1w", "FLAIR", "space-T1w_FLAIR")
    root = scans(tmp_path, names=names)
    index = read_index(root, channels={"T1": "T1w", "FLAIR": "^flair"})
    (first, *_) = told(index)
    assert "'sub-A_ses-1'" in first
    assert "channel T1 could be acq-mprage_run-1_T1w or acq-mprage_run-2_T1w or acq-se_T1w" in first
    assert "--channels T1='^acq-mprage_run-1_T1w$'" in first
    index = read_index(root, channels={"F": "^flair", "T1": "mprage.*run-2"})
    assert index.faults != () and "channel F could be FLAIR or space-T1w_FLAIR" in told(index)[0]
    index = read_index(root, channels={"F": "space-T1w_FLAIR", "T1": "mprage.*run-2"})
    assert shown(index)["sub-B_ses-2"][0] == ["space-T1w_FLAIR", "acq-mprage_run-2_T1w"]
    assert (index.channels, index.faults) == (("F", "T1"), ())


def test_sessions_that_differ(tmp_path):
    """What is where, and the way out; a session without a chosen scan is left out and said so."""
    root = scans(tmp_path, subjects="ABC", sessions=(1,))
    (root / "sub-B/ses-1/anat/sub-B_ses-1_FLAIR.nii.gz").unlink()
    touch(root, "sub-D/ses-1/func/sub-D_ses-1_bold.nii.gz", "sub-E/anat/sub-A_T1w.nii.gz")
    index = read_index(root)
    differ, misnamed = sorted(told(index), key=lambda text: "'sub-E'" in text)
    assert "3 sessions have not the same scans: T1w in all; FLAIR in 2 (not in sub-B_ses-1)" in differ
    assert "--channels T1w" in differ
    assert "sub-A_T1w.nii.gz: its name does not begin with sub-E_" in misnamed
    index = read_index(root, channels={"FLAIR": "FLAIR"})
    assert list(shown(index)) == ["sub-A_ses-1", "sub-C_ses-1"]
    (left_out,) = (text for text in told(index, "warning") if "sub-B_ses-1" in text)
    assert "has no scan for FLAIR but T1w; it is left out" in left_out


def test_labels_are_one_kind_of_masks(tmp_path):
    root = masks(masks(scans(tmp_path), "label-lesion_mask"), "label-lesion_mask", pipeline="second")
    masks(root, "acq-1_label-vessel_roi")
    (fault,) = told(read_index(root))
    kinds = "manual/label-lesion_mask, derivatives/manual/label-vessel_roi, derivatives/second/label-lesion_mask"
    assert f"several kinds of masks: derivatives/{kinds}" in fault
    advice = re.search("--label '(.*)'", fault)[1]
    for label, name in ((advice, "label-lesion_mask"), ("vessel", "acq-1_label-vessel_roi"), ("second", None)):
        index = read_index(root, label=label)
        assert index.faults == ()
        assert index["sub-A_ses-1"].label.parts[-5] == ("manual" if name else "second")
        assert shown(index)["sub-B_ses-1"][1] == (name or "label-lesion_mask")
    (first, _) = told(read_index(root, label="lesion"))
    both = [f"derivatives/{p}/label-lesion_mask" for p in ("manual", "second")]
    assert f"the label could be {both[0]} or {both[1]}" in first and f"--label '^{both[0]}$'" in first
    with pytest.raises(ValueError, match=r"--label 'tumor' is found in no mask .*vessel_roi"):
        read_index(root, label="tumor")


def test_masks_without_scans_are_told(tmp_path):
    root = masks(scans(tmp_path), "roi", subjects="AX")
    touch(root, "derivatives/manual/sub-B/ses-1/anat/sub-B_roi.nii.gz")
    index = read_index(root)
    assert [c.name for c in index.cases if c.labeled] == ["sub-A_ses-1"]
    misnamed, lost = told(index, "warning")
    assert "sub-B_roi.nii.gz: its name does not begin with sub-B_ses-1_" in misnamed
    assert "1 masks belong to no session with scans, that of sub-X_ses-1 the first" in lost


def test_masks_of_a_subject_are_those_of_its_only_session(tmp_path):
    scans(tmp_path, sessions=(1,), names=("T1w",))
    touch(tmp_path, "derivatives/lesion_masks/sub-A/anat/sub-A_label-lesion_mask.nii.gz")
    assert [c.label is not None for c in read_index(tmp_path).cases] == [True, False]
    scans(tmp_path, sessions=(2,), names=("T1w",))
    index = read_index(tmp_path)
    assert not any(c.labeled for c in index.cases) and "1 masks belong to no session" in told(index, "warning")[0]


@pytest.mark.parametrize("name", ["sub-A/sub-A_lesion_mask", "sub-A_lesion", "sub-A/anat/sub-A_ses-1_lesion"])
def test_files_that_may_be_labels_are_not_passed_silently(tmp_path, name):
    scans(tmp_path, sessions=(1,), names=("T1w",))
    touch(tmp_path, f"derivatives/lesion_masks/{name}.nii.gz", "derivatives/bet/sub-A/sub-A_brainmask.nii.gz")
    (fault,) = told(read_index(tmp_path), "warning")
    assert f"1 files in derivatives are called like labels and are none by BIDS, lesion_masks/{name}" in fault
    touch(tmp_path, "derivatives/manual/sub-A/ses-1/anat/sub-A_ses-1_desc-lesion_mask.nii.gz")
    assert not read_index(tmp_path).faults


@pytest.mark.parametrize("table", ["beside", "pipeline"])
def test_a_segmentation_names_its_labels(tmp_path, table):
    root = masks(scans(tmp_path), "space-orig_desc-aseg_dseg", pipeline="fs")
    folder = root / "derivatives/fs"
    files = {"pipeline": "desc-aseg_dseg.tsv", "beside": "sub-A/ses-1/anat/sub-A_ses-1_space-orig_desc-aseg_dseg.tsv"}
    (folder / files[table]).write_text("index\tname\tcolor\n17\thippocampus\t#fff\n4\tventricle\tn/a\n")
    (folder / "desc-other_dseg.tsv").write_text("index\tname\n1\twrong\n")
    assert read_index(root).labels == {"background": 0, "ventricle": 4, "hippocampus": 17}
    (root / "dataset.yaml").write_text("labels: {background: 0, inner: 4}\n")
    assert read_index(root).labels == {"background": 0, "inner": 4}


def test_derivatives_are_a_data_set_of_their_own(tmp_path):
    """Preprocessed images with their masks beside them, sessions left out."""
    root = tmp_path / "derivatives" / "preproc"
    for s in "AB":
        start = f"sub-{s}/anat/sub-{s}_space-MNI_desc"
        touch(root, f"{start}-preproc_T1w.nii.gz", f"{start}-brain_mask.nii.gz", f"{start}-lesion_mask.nii")
    index = read_index(root)
    assert list(shown(index)) == ["sub-A", "sub-B"]
    assert all(c.label.name.endswith("desc-lesion_mask.nii") for c in index.cases)
    assert index.faults == ()


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "sub-A\t30\tTwo\nsub-B\tn/a\tn/a\n",
        "\ufeff" + HEAD.replace("\n", "\r\n") + "A\t30\tTwo\r\n\r\nB\t40\tn/a\r\n",
        HEAD.replace("site", "Centre") + "sub-A\t30\tTwo\nsub-B\t40\n",
        HEAD.replace("age", "scanner") + "sub-A\t3T\tTwo\nsub-A\tX\tTwo\nsub-C\t3T\tOne\n",
    ],
    ids=["n/a", "a spreadsheet's", "short row", "repeated and gone"],
)
def test_the_site_is_the_domain(tmp_path, text):
    root = scans(tmp_path)
    (root / "participants.tsv").write_bytes(text.encode("utf-8"))
    index = read_index(root)
    assert [c.domain for c in index.cases] == ["Two", "Two", None, None]
    warnings = " ".join(told(index, "warning"))
    assert ("'sub-B' the first" in warnings) == ("40\n" in text)
    assert ("1 participants have no folder with anatomical scans, sub-C the first" in warnings) == ("sub-C" in text)
    assert not told(index)


@pytest.mark.parametrize("text", ["", "subject\tsite\nA\tTwo\n", "participant_id,site\nsub-A,Two\n"])
def test_participants_that_cannot_be_read(tmp_path, text):
    root = scans(tmp_path)
    (root / "participants.tsv").write_text(text)
    index = read_index(root)
    assert {c.domain for c in index.cases} == {None}
    assert "participants.tsv: has no column 'participant_id' but" in told(index, "warning")[0]


def test_content_that_git_annex_has_not_fetched(tmp_path):
    root = scans(tmp_path)
    link = root / "sub-A/ses-1/anat/sub-A_ses-1_T1w.nii.gz"
    link.unlink()
    link.symlink_to("../../../.git/annex/objects/x1/y2/MD5E-s1--0.nii.gz")
    (root / "sub-B/ses-2/anat/sub-B_ses-2_FLAIR.nii.gz").write_text("/annex/objects/MD5E-s1--0.nii.gz\n")
    index = read_index(root)
    (fault,) = told(index)
    assert "the content of 2 files is not here, sub-A/ses-1/anat/sub-A_ses-1_T1w.nii.gz the first" in fault
    assert "datalad get" in fault
    assert list(shown(index)) == ["sub-A_ses-2", "sub-B_ses-1"]


def test_from_bids_to_a_store(tmp_path):
    """Sessions of a subject are never parted, and each site is tested."""
    rng = np.random.default_rng(0)
    rows = [HEAD.strip()]
    for s in range(8):
        rows.append(f"sub-{s}\t{40 + s}\t{'north' if s < 4 else 'south'}")
        for n in (1, 2):
            image, label = blob(rng, (16, 18, 16))
            start = f"sub-{s}/ses-{n}/anat/sub-{s}_ses-{n}"
            nifti(tmp_path / "data" / f"{start}_T1w.nii.gz", image)
            nifti(tmp_path / "data" / f"{start}_FLAIR.nii.gz", -image)
            if n == 1 or s % 2:
                nifti(tmp_path / "data/derivatives/manual" / f"{start}_label-lesion_mask.nii.gz", label)
            nifti(tmp_path / "data/derivatives/bet" / f"{start}_desc-brain_mask.nii.gz", np.ones_like(label))
    (tmp_path / "data/participants.tsv").write_text("\n".join(rows))
    assert verbs.check(tmp_path / "data", workers=1) == []
    verbs.prepare(tmp_path / "data", out=tmp_path / "store", test=0.25, folds=2, stratify=True, workers=1)
    store = Store(tmp_path / "store")
    assert store.plan.channels == ["T1w", "FLAIR"]
    splits = store.splits
    assert len(store.stored) + len(splits.test) == 16
    parts = [set(splits.test), *map(set, splits.folds)]
    assert not any({c[:5] for c in a} & {c[:5] for c in b} for a in parts for b in parts if a is not b)
    assert all({splits.domains[c] for c in part} == {"north", "south"} for part in parts)


def test_a_folder_of_files_called_by_channel(tmp_path):
    for case in ("pat-1", "pat_2"):
        touch(tmp_path, *(f"{case}_{end}.nii.gz" for end in ("T1", "FLAIR", "t1_brain")))
    touch(tmp_path, "pat-1_Lesions.nii.gz", "pat-3/pat-3-t1.nii", "pat-3/pat-3-flair.nii", "pat-4/T1.nii")
    touch(tmp_path, "pat-4/FLAIR.nii")
    channels = {"T1": "T1", "FLAIR": "FLAIR"}
    index = read_index(tmp_path, channels=channels, label="lesions?")
    assert {c.name: [p.name for p in c.images] for c in index.cases} == {
        "pat-1": ["pat-1_T1.nii.gz", "pat-1_FLAIR.nii.gz"],
        "pat_2": ["pat_2_T1.nii.gz", "pat_2_FLAIR.nii.gz"],
        "pat-3": ["pat-3-t1.nii", "pat-3-flair.nii"],
        "pat-4": ["T1.nii", "FLAIR.nii"],
    }
    assert [c.name for c in index.cases if c.labeled] == ["pat-1"]
    (fault,) = index.faults
    assert "2 files match no channel, pat-1_t1_brain.nii.gz the first" in fault.what
    assert "no --label is given" in read_index(tmp_path, channels=channels).faults[0].what
    with pytest.raises(ValueError, match=r"holds no data set; expected .*with --channels"):
        read_index(tmp_path)


def test_a_folder_of_files_with_faults(tmp_path):
    touch(tmp_path, "a_T1.nii.gz", "a_T1.nii", "b_T1.nii.gz", "b_FLAIR.nii.gz", "c_mask.nii.gz", "a_FLAIR.nii.gz")
    touch(tmp_path, "d_T1.nii.gz")
    faults = told(read_index(tmp_path, channels={"T1": "T1|t1w", "F": "FLAIR"}, label="mask"))
    for part in (r"'a'.*is a_T1.nii again by its name", r"'d'.*nothing for F", r"c_mask.*a label without an image"):
        assert any(re.search(part, fault) for fault in faults), part
    assert len(faults) == 3
    index = read_index(tmp_path, channels={"T1": "T1", "F": "FLAIR", "any": ".*1"})
    assert any("could be T1 and any" in fault for fault in told(index))
    index = read_index(tmp_path, channels={"T1": "T1", "F": "FLAIR"}, label="FLAIR|mask")
    assert any("could be F and the label" in fault for fault in told(index))


def test_masks_are_measured_against_the_labels_that_were_chosen(tmp_path):
    """Of two raters, and of files called by channel; and where labels would have to be chosen, none are to predict."""
    rng = np.random.default_rng(0)
    for s in "AB":
        image, label = blob(rng, (6, 7, 8))
        start = f"sub-{s}/anat/sub-{s}"
        nifti(tmp_path / "bids" / f"{start}_T1w.nii.gz", image)
        nifti(tmp_path / "bids/derivatives/one" / f"{start}_label-lesion_mask.nii.gz", label)
        nifti(tmp_path / "bids/derivatives/two" / f"{start}_label-lesion_mask.nii.gz", np.roll(label, 3))
        nifti(tmp_path / "masks" / f"sub-{s}.nii.gz", label)
        nifti(tmp_path / "loose" / f"sub-{s}_T1w.nii.gz", image)
        nifti(tmp_path / "loose" / f"sub-{s}_lesion.nii.gz", label)
    evaluated = lambda data, **options: verbs.evaluate(tmp_path / "masks", tmp_path / data, workers=1, **options)
    assert (evaluated("bids", label="one/")["dice"] == 1).all()
    assert (evaluated("bids", label="two/", channels="T1=T1w")["dice"] < 1).all()
    assert note.read(tmp_path / "masks").chosen == {"label": "two/", "channels": "T1=T1w"}
    assert (evaluated("loose", channels="T1w", label="lesion")["dice"] == 1).all()
    with pytest.raises(ValueError, match=r"several kinds of masks.*choose by --label"):
        evaluated("bids")
    assert [c.label for c in read_images(tmp_path / "bids", channels=1)] == [None, None]
    with pytest.raises(ValueError, match="nothing to choose; leave --channels out"):
        read_images(tmp_path / "loose" / "sub-A_T1w.nii.gz", channels=1, patterns={"T1": "T1w"})


def test_groups_that_the_data_set_tells_are_not_told_again(tmp_path):
    index = read_index(scans(tmp_path), group="(sub-.)")
    assert any("the group pattern '(sub-.)' is not used" in fault for fault in told(index, "warning"))


def test_a_layout_that_leaves_no_choice(tmp_path):
    touch(tmp_path, "images/a.png", "labels/a.png")
    with pytest.raises(ValueError, match="leave --channels and --label out"):
        read_index(tmp_path, label="lesion")
