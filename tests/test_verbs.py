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
    assert about["domains"] == {"phantom_000": "A"}, "the scanner, as the store knows it"

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
def by_domain(cohort, prepared, tmp_path, monkeypatch):
    """A run whose norms have statistics of scanner B's images alone: those of A are as they began."""
    from halfmask.methods.semisupervised.supervised import Supervised
    from halfmask.networks.domain_norm import per_domain

    plain = Supervised.__init__

    def init(self, network):
        plain(self, network)
        per_domain(self.student)

    monkeypatch.setattr(Supervised, "__init__", init)
    verbs.train("supervised", prepared(2).path, out=tmp_path / "run", steps=3, validations=1, threads=0, source="A",
                set=["network.norm=batch"])  # fmt: skip
    return tmp_path / "run", cohort / "imagesTr" / "phantom_003.nii.gz"


def test_the_domain_of_an_image_chooses_its_statistics(by_domain, tmp_path, prepared):
    run, image = by_domain
    said = {}
    for name in ("A", "B", None):
        verbs.predict(run, image, out=tmp_path / f"masks {name}", domain=name, probability=True)
        file = tmp_path / f"masks {name}" / "probability" / "lesion" / image.name
        said[name] = np.asarray(nibabel.load(file).dataobj)
        about = json.loads((tmp_path / f"masks {name}" / "prediction.json").read_text())
        assert about.get("domain") == name and "test_time" not in about
    np.testing.assert_array_equal(said["B"], said[None])
    assert np.abs(said["A"] - said["B"]).mean() > 0.001
    with pytest.raises(ValueError, match="run knows no domain 'a'; known: A, B"):
        verbs.predict(run, image, out=tmp_path / "none", domain="a")
    sealed = prepared(2).sources["phantom_000"]
    verbs.predict(run, split="test", domain="A" if sealed.domain == "B" else "B", out=tmp_path / "sealed")
    verbs.predict(run, split="test", out=tmp_path / "again")
    both = [nibabel.load(tmp_path / name / "phantom_000.nii.gz").dataobj for name in ("sealed", "again")]
    np.testing.assert_array_equal(*map(np.asarray, both), "the data set says the domain, before the option")


def test_a_scan_is_adapted_to_as_asked_and_the_report_says_how(by_domain, tmp_path):
    from halfmask.report.commands import commands
    from halfmask.report.gather import gather

    run, image = by_domain
    options = {"test_time": "entropy", "test_time_steps": 2, "domain": "A"}
    verbs.predict(run, image, out=run / "masks", **options)
    about = json.loads((run / "masks" / "prediction.json").read_text())
    assert {key: about[key] for key in options} == options and about["test_time_rate"] == 0.001
    (entry,) = gather([run])
    (told,) = (line for line in commands(entry) if line.startswith("halfmask predict"))
    assert told.endswith(f"--out {run}/masks --domain A --test-time entropy --test-time-steps 2 --test-time-rate 0.001")
    verbs.predict(run, image, out=run / "masks", test_time="statistics")
    about = json.loads((run / "masks" / "prediction.json").read_text())
    assert about["test_time"] == "statistics" and "test_time_steps" not in about
    with pytest.raises(ValueError, match="give --test-time entropy too, or leave out --test-time-steps and --test-ti"):
        verbs.predict(run, image, out=run / "masks", test_time="statistics", test_time_steps=2, test_time_rate=0.1)
    with pytest.raises(ValueError, match="--test-time-rate is a number above 0, got 0"):
        verbs.predict(run, image, out=run / "masks", test_time="entropy", test_time_rate=0)


def test_a_run_without_batch_norm_or_domains_says_so(cohort, prepared, tmp_path):
    run, image = tmp_path / "run", cohort / "imagesTr" / "phantom_003.nii.gz"
    verbs.train("supervised", prepared(2).path, out=run, steps=1, validations=0, threads=0)
    with pytest.raises(ValueError, match="this network has none: instance and layer norm"):
        verbs.predict(run, image, out=tmp_path / "masks", test_time="statistics")
    with pytest.raises(ValueError, match="trained without --source or --target and knows no domains; leave out --dom"):
        verbs.predict(run, image, out=tmp_path / "masks", domain="A")
    assert not (tmp_path / "masks").exists()


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
