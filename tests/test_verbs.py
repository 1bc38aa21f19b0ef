"""The whole way, on functions, as a notebook would go it."""

import json

import nibabel
import numpy as np
import pandas as pd

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
    assert "ventricles" in capsys.readouterr().out


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
