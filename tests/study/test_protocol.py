"""Study files: what is accepted, and how faults are told."""

import textwrap

import pytest

from halfmask.study.grid import arms, budgets, trials
from halfmask.study.protocol import read_study


def study(tmp_path, text):
    file = tmp_path / "study.yaml"
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return read_study(file)


def faults(tmp_path, text):
    with pytest.raises(ValueError, match=r"study\.yaml") as caught:
        study(tmp_path, text)
    return str(caught.value)


def test_all_faults_come_at_once_with_the_nearest_known_key(tmp_path):
    told = faults(
        tmp_path,
        """
        name: Wrong in many ways
        seed: [0]
        methods:
          supervised: {weight: 1}
          mean_teacher: {wieght: 1}
          upper: {method: supervised, labels: [9]}
        networks: {unet: {widht: 16}}
        labels: [1, 10%, -1]
        folds: some
        recipe: {steps: 0, optimiser: sgd}
        prepare: {groups: a}
        plan: {pach: [64, 64]}
        pretraining: {none: {a: 1}}
        """,
    )
    for said in (
        "unknown key 'seed'; did you mean 'seeds'?",
        "method 'supervised' has no setting 'weight'",
        "'mean_teacher' has no setting 'wieght'; did you mean 'weight'?",
        "has no setting 'widht'; did you mean 'width'?",
        "labels.2 = -1 should be a count",
        "folds = 'some' should be a list",
        "recipe.steps = 0",
        "unknown key 'recipe.optimiser'; did you mean 'optimizer'?",
        "unknown key 'prepare.groups'; did you mean 'group'?",
        "'pach' is no field of a plan; did you mean 'patch'?",
        "pretraining: 'none' is to start from nothing",
    ):
        assert said in told, said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methods: {supervised: }", "the key 'name' is missing"),
        ("name: a\nmethods: {}", "methods"),
        ("name: a\nmethods: {supervised: }\nbaseline: superviced", "did you mean 'supervised'?"),
        ("name: a\nmethods: {a-b: {method: supervised}, a b: {method: supervised}}", "two runs would be called"),
        ("name: a\nmethods: {supervised: {labels: [7]}}\nlabels: [1, 3]", "has no labels '7'"),
        ("name: a\nmethods: {supervised: }\nseeds: [0, 0]", "seeds: 0 is given twice"),
        ("name: a\nmethods: {supervised: }\nmeasured_on: fold\ncheckpoint: best", "take last"),
        (
            "name: a\nmethods: {supervised: }\nreported: {source: b, rows: {supervised: [1, 2]}}",
            "has 2 figures, there are 1 budgets",
        ),
        ("- a list", "expected keys"),
        ("a: [", "no YAML"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, text, said):
    assert said in faults(tmp_path, text)


def test_rows_columns_and_runs(tmp_path):
    read = study(
        tmp_path,
        """
        name: Crossed
        methods:
          supervised:
          ours: {method: cross_pseudo_supervision, on: all, recipe: {rate: 0.1}}
          upper bound: {method: supervised, labels: [all], pretraining: [none], networks: [unet]}
        networks: {unet: {width: 8}, big: {network: unet, width: 64}}
        pretraining: {none: , hub: {init: 'hub:name'}}
        labels: [3, 10%, all]
        draws: [0, 1]
        seeds: [4]
        """,
    )
    assert [arm.title for arm in arms(read)] == [
        "supervised (unet)", "supervised + hub (unet)", "supervised (big)", "supervised + hub (big)",
        "ours (unet)", "ours + hub (unet)", "ours (big)", "ours + hub (big)", "upper bound (unet)",
    ]  # fmt: skip
    assert [b.title for b in budgets(read)] == ["3 labels", "10 % of labels", "all labels"]
    found = trials(read, [0, 1])
    assert len(found) == (8 * 3 + 1) * 2 * 2  # the bound has one budget; two folds, two draws, one seed
    assert len({trial.name for trial in found}) == len(found)
    (ours,) = {t.arm.title: t.arm for t in found if t.arm.title == "ours (big)"}.values()
    assert (ours.method, ours.network.settings, ours.recipe.rate) == ("cross_pseudo_supervision", {"width": 64}, 0.1)
    assert ours.settings == {"on": "all"}  # YAML takes the key for a truth


def test_slices_are_columns_too(tmp_path):
    text = "name: a\nmethods: {supervised: }\nslices: [10%, 0.5, 1]\n"
    assert [b.title for b in budgets(study(tmp_path, text))] == ["10 % of slices", "50 % of slices", "100 % of slices"]
    both = [b.title for b in budgets(study(tmp_path, f"{text}labels: [1, 2]"))]
    assert both[0] == "1 label, 10 % of slices" and len(both) == 6


def test_what_this_version_lacks_is_named_and_not_a_fault(tmp_path):
    read = study(
        tmp_path,
        """
        name: Ahead of its time
        methods: {supervised: , mean_techer: {anything: 1}}
        networks: {unet: , resnet999: {depth: 3}}
        pretraining: {none: , telepathy: {data: true}}
        """,
    )
    missing = {arm.title: arm.missing for arm in arms(read)}
    assert missing["supervised (unet)"] == ""
    assert "did you mean 'mean_teacher'?" in missing["mean_techer (unet)"]
    assert "no network 'resnet999'" in missing["supervised (resnet999)"]
    assert "no method 'telepathy'" in missing["supervised + telepathy (unet)"]
