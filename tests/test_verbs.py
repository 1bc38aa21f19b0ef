"""The whole way, on functions, as a notebook would go it."""

import json
import shutil

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml

from halfmask import verbs


def test_from_a_folder_to_a_table(cohort, tmp_path, capsys):
    assert not [f for f in verbs.check(cohort, workers=1) if f.severity == "error"]
    store, run, masks, table = (tmp_path / n for n in ("store", "run", "masks", "table.csv"))
    verbs.prepare(cohort, out=store, dims=2, workers=1)
    result = verbs.train(
        "supervised", store, out=run, steps=5, validations=1, batch="2", set=["network.width=4"], threads=0
    )
    assert result["steps"] == 5
    assert len(result["labeled"]) == 4, "five with labels, of which one validates"
    written = verbs.predict(run, out=masks, split="test", probability=True, flips=True)
    assert [p.name for p in written] == ["phantom_000.nii.gz"]

    image, mask = nibabel.load(cohort / "imagesTs/phantom_000.nii.gz"), nibabel.load(written[0])
    assert mask.shape == image.shape[:3]
    np.testing.assert_allclose(mask.affine, image.affine)
    assert set(np.unique(mask.dataobj)) <= {0, 1, 2}
    assert {p.name for p in (masks / "probability").iterdir()} == {"background", "lesion", "ventricles"}
    about = json.loads((masks / "prediction.json").read_text())
    assert (about["method"], about["checkpoint"], about["run"]) == ("supervised", "last", str(run))

    found = verbs.evaluate(masks, cohort, out=table, workers=1)
    assert set(found["case"]) == {"phantom_000"}
    assert list(found["structure"]) == ["lesion", "ventricles"]
    assert found["dice"].between(0, 1).all()
    pd.testing.assert_frame_equal(pd.read_csv(table), found)
    assert (tmp_path / "table-summary.csv").exists()
    with pytest.raises(ValueError, match="holds the ignored value 1"):
        verbs.evaluate(masks, cohort, out=table, ignore_value=1, workers=1)
    assert "ventricles" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["supervised", "mean_teacher", "fixmatch", "cross_pseudo_supervision"])
def test_regions_by_name_from_the_description_to_the_table(cohort, tmp_path, method):
    """Trained as outputs of their own, and as classes that are merged when they are measured."""
    data, store = tmp_path / "data", tmp_path / "store"
    shutil.copytree(cohort, data)
    about = json.loads((data / "dataset.json").read_text())
    about["regions"] = {"all": ["lesion", "ventricles"], "lesion": ["lesion"]}
    (data / "dataset.json").write_text(json.dumps(about))
    verbs.prepare(data, out=store, dims=2, workers=1)
    plan = yaml.safe_load((store / "plan.yaml").read_text())
    assert plan["outputs"] == "regions"
    tables = {}
    for outputs in ("regions", "classes"):
        (store / "plan.yaml").write_text(yaml.safe_dump(plan | {"outputs": outputs, "patch": [32, 32]}))
        run, masks = tmp_path / outputs, tmp_path / f"{outputs}-masks"
        verbs.train(method, store, out=run, steps=4, validations=1, batch="2+2", threads=0,
                    set=["network.width=4"])  # fmt: skip
        verbs.predict(run, out=masks, split="test")
        tables[outputs] = verbs.evaluate(masks, data, out=tmp_path / "table.csv", workers=1)
        lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
        (validated,) = (line for line in lines if line["kind"] == "validation")
        assert {"dice all", "dice lesion", "dice mean"} <= set(validated)
    assert all(list(t["structure"]) == ["all", "lesion"] for t in tables.values())
    with pytest.raises(ValueError, match=r"(?s)outputs.*there are no regions"):
        verbs.train("supervised", _without(store, plan, "regions"), out=tmp_path / "no", steps=1)


def _without(store, plan, key):
    (store / "plan.yaml").write_text(yaml.safe_dump({k: v for k, v in plan.items() if k != key}))
    return store


def test_the_run_alone_predicts_other_images(cohort, prepared, tmp_path):
    """Neither store nor data set is needed; a folder of images or one image will do."""
    run = tmp_path / "run"
    verbs.train("mean_teacher", prepared(3).path, out=run, steps=2, validations=1, threads=0)
    file = cohort / "imagesTr" / "phantom_003.nii.gz"
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("x.nii.gz", "y.nii.gz"):
        (alone / name).write_bytes(file.read_bytes())
    both = verbs.predict(run, alone, out=tmp_path / "both", checkpoint="best", entropy=True)
    one = verbs.predict(run, alone / "x.nii.gz", out=tmp_path / "one")
    assert [p.name for p in both] == ["x.nii.gz", "y.nii.gz"]
    masks = [np.asarray(nibabel.load(p).dataobj) for p in (*both, *one)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert masks[2].shape == masks[0].shape


@pytest.fixture
def redrawn(prepared, tmp_path):
    """A run, and what its store seals afterwards: ``redrawn(test, groups)`` writes that into splits.yaml."""
    store, run = tmp_path / "store", tmp_path / "run"
    shutil.copytree(prepared(2).path, store)
    verbs.train("mean_teacher", store, out=run, steps=1, validations=0, threads=0, labels="2")
    before = yaml.safe_load((store / "splits.yaml").read_text())

    def change(test, groups):
        out = {*test, *(case for case, group in groups.items() if group in {groups.get(t) for t in test})}
        splits = before | {"test": list(test), "groups": groups}
        splits |= {
            part: [[c for c in names if c not in out] for names in before[part]] for part in ("folds", "labeled")
        }
        (store / "splits.yaml").write_text(yaml.safe_dump(splits))
        return run, json.loads((run / "result.json").read_text())["labeled"]

    return change


def test_what_a_run_has_seen_is_not_predicted_as_sealed(redrawn, tmp_path):
    run, (first, second) = redrawn([], {})
    redrawn([first, "phantom_000", "phantom_006"], {})  # labeled, sealed all along, unlabeled
    with pytest.raises(
        ValueError, match=rf"run has seen 2 cases that .*splits\.yaml now .*: {first}, phantom_006; train"
    ):
        verbs.predict(run, split="test", out=tmp_path / "masks")
    redrawn(["phantom_000"], {"phantom_000": "p", second: "p"})
    with pytest.raises(ValueError, match=rf"has seen 1 cases that .*, or their patients: {second};"):
        verbs.predict(run, split="test", out=tmp_path / "masks")
    assert not (tmp_path / "masks").exists()
    redrawn(["phantom_000"], {})
    assert verbs.predict(run, split="test", out=tmp_path / "masks")


def test_a_run_that_does_not_tell_its_cases_predicts(redrawn, tmp_path):
    """As older versions wrote them."""
    from halfmask.training import checkpoint

    run, _ = redrawn(["phantom_000"], {})
    content = checkpoint.load(run / "last.pt")
    del content["cases"]
    checkpoint.save(run / "last.pt", content)
    assert verbs.predict(run, split="test", out=tmp_path / "masks")


def test_the_demo_goes_the_whole_way_and_goes_on(tmp_path, capsys):
    """What it prints can be typed, and a second call takes up the runs of the first."""
    for _ in range(2):
        result = verbs.demo(out=tmp_path / "demo", subjects=11, steps=2, seeds=1)
        assert list(result.columns) == ["supervised", "fixmatch"]
        assert len(result) == 6
    out = capsys.readouterr().out
    told = [line for line in out.splitlines() if line.startswith("$ halfmask train")]
    assert [line.endswith(" --resume") for line in told] == [False, False, True, True]
    assert "--set network.width=16" in told[0]
    runs = " ".join(str(tmp_path / "demo" / f"{name}-0") for name in ("supervised", "fixmatch"))
    assert f"$ halfmask report {runs} --out {tmp_path}/demo/report.html" in out
    assert "<h1>halfmask report</h1>" in (tmp_path / "demo" / "report.html").read_text()
