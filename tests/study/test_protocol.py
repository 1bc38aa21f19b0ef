"""Study files: what is accepted, and how faults are told."""

import textwrap

import pytest

from halfmask.study.grid import arms, budgets, trials
from halfmask.study.jobs import Place, preparations, pretrainings, run_job, shared
from halfmask.study.measure import Cost
from halfmask.study.protocol import read_study
from halfmask.study.runs import init, pretrained_name
from halfmask.training.run import Run


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
        ("", "expected keys such as name, methods and labels, got an empty file"),
        ("name: a\nmethods: [", "no YAML: line 2"),
        ("name: a\nmethods: &a\n  supervised: *a", "an alias (*name) stands within what it repeats"),
        ("name: a\nmethods: {[supervised]: }", "line 2: a key is a name"),
        (
            "name: a\nmethods: [supervised]",
            "methods = ['supervised'] should be names with values, such as {supervised: ",
        ),
        (
            "name: a\nmethods: {ours: fixmatch}",
            "methods.ours = 'fixmatch' should be names with values, such as {method:",
        ),
        ("name: a\nmethods: {ours: {method: }}", "methods: 'ours': method = None should be a name"),
        ("name: a\nmethods: {supervised: }\nlabels: 3", "labels = 3 should be a list such as [1, 3, 10%, all]"),
        ("name: a\nmethods: {supervised: }\nlabels: []", "labels = [] should name at least one"),
        ("name: a\nmethods: {supervised: }\nlabels:", "labels is empty; it should be a list"),
        ("name: a\nmethods: {supervised: }\nlabels: [0]", "labels.0 = 0 should be a count such as 3"),
        ("name: a\nmethods: {supervised: }\nlabels: [10%, 0.1]", "labels: '10%' is given twice"),
        ("name: a\nmethods: {supervised: }\nslices: [20]", "slices.0 = 20 should be a share of the slices such as 20%"),
        ("name: a\nmethods: {supervised: }\nseeds: 3", "seeds = 3 should be a list such as [0, 1, 2]"),
        ("name: a\nmethods: {supervised: }\nseeds: [yes]", "seeds = [True] has a truth (true, yes, on)"),
        ("name: a\nmethods: {supervised: }\nprepare: {group: '(', spacing: 1}", "prepare.group = '(' is no regular"),
        ("name: a\nmethods: {supervised: }\nprepare: {channels: 'T1=('}", "prepare.channels = 'T1=(' --channels: '('"),
        ("name: a\nmethods: {supervised: }\nplan: {patch: large}", "plan.patch = 'large' should be a valid list"),
        ("name: a\nmethods: {supervised: {labels: []}}", "labels = [] should be a list of some of the study's labels"),
        ("name: a\nmethods: {supervised: {networks: [unet]}}", "the study has no networks 'unet'"),
        ("name: a\nmethods: {'+': {method: supervised}}", "'+' has no letter and no digit"),
        ("name: a\nmethods: {" + 300 * "a" + ": {method: supervised}}", "too long a label"),
        ("name: a\nmethods: {supervised: }\npretraining: {fixmatch: }", "'fixmatch' segments; it pre-trains nothing"),
        ("name: a\nmethods: {supervised: }\npretraining: {x: {prepare: {dims: 2}}}", "write data: true too"),
        (
            "name: a\nmethods: {supervised: }\npretraining: {A b: {init: 'hub:resnet34'}, a-b: {init: 'hub:resnet34'}}",
            "two variants of pretraining would be called 'a-b'",
        ),
        (
            "name: a\nmethods: {supervised: }\nnetworks: {unet: }\npretraining: {x: {method: cass, on: unit}}",
            "study.yaml: pretraining: 'x': on: no network 'unit'; did you mean 'unet'?",
        ),
        (
            "name: a\nmethods: {supervised: }\nreported: {source: b, rows: {supervised: [69.5]}}",
            "dice is from 0 to 1 here, got 69.5; write 69.5 % as 0.695",
        ),
        (
            "name: a\nmethods: {supervised: }\nreported: {source: b, metric: dise, rows: {supervised: [1]}}",
            "did you mean 'dice'?",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, text, said):
    assert said in faults(tmp_path, text)


def test_a_key_given_twice_is_told_with_its_lines(tmp_path):
    told = faults(
        tmp_path,
        """\
        name: a
        seeds: [0]
        methods:
          supervised:
          entropy: {method: fixmatch, weight: 1, 'weight': 2}
          supervised: {recipe: {rate: 1}}
        seeds: [1]
        """,
    )
    assert "line 5: the key 'weight' is given twice, in line 5 before" in told
    assert "line 6: the key 'supervised' is given twice, in line 4 before" in told
    assert "line 7: the key 'seeds' is given twice, in line 2 before" in told


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"the study file .*none\.yaml cannot be read: No such file"):
        read_study(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: für alle".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.yaml is no text in UTF-8"):
        read_study(tmp_path / "latin.yaml")


def test_one_faulty_row_hides_no_other_and_is_no_reason_to_blame_what_names_it(tmp_path):
    told = faults(
        tmp_path,
        """
        name: a
        methods: {supervised: 3, fixmatch: {treshold: 1}}
        networks: {unet: {widht: 8}, big: [unet]}
        labels: 7
        baseline: supervised
        reported: {source: b, rows: {supervised: [0.5, 0.6]}}
        """,
    )
    assert len(told.splitlines()) == 5 and "no arm" not in told and "budgets" not in told
    assert "did you mean 'threshold'?" in told and "did you mean 'width'?" in told


def test_numbers_as_people_write_them(tmp_path):
    read = study(
        tmp_path,
        """
        name: 2026
        methods: {7: {method: fixmatch, threshold: 9e-1}, 2020-01-01: {method: supervised, labels: [0.1]}}
        labels: [' 10 %', 3]
        recipe: {steps: 1e4, rate: 1e-4, batch: 2 + 2}
        prepare: {spacing: [10, 2.5, 2.5]}
        precision: 32
        baseline: 7
        """,
    )
    assert (read.name, read.recipe.steps, read.recipe.rate, read.recipe.batch) == ("2026", 10_000, 1e-4, "2+2")
    assert (read.prepare.spacing, read.precision, read.labels) == ("10,2.5,2.5", "32", ["10%", "3"])
    first, second = arms(read)
    assert (first.title, first.settings["threshold"], read.baseline) == ("7", 0.9, "7")
    assert (second.title, second.labels) == ("2020-01-01", ("10%",))  # in whichever spelling


def test_weights_lie_beside_the_study_file_or_in_the_hub(tmp_path):
    (tmp_path / "weights.pt").touch()
    text = """
        name: a
        methods: {supervised: }
        pretraining: {file: {init: weights.pt}, hub: {init: 'hub:resnet3'}, lost: {init: gone.pt}}"""
    file, hub, lost = arms(study(tmp_path, text))
    assert (file.pretraining.init, file.missing) == (str(tmp_path / "weights.pt"), "")
    assert "no weights 'hub:resnet3' (did you mean 'hub:resnet34'?)" in hub.missing
    assert lost.missing == f"no weights '{tmp_path / 'gone.pt'}': no such file or run", "the row is not run"


def test_a_pretraining_may_be_done_with_one_network_for_all(tmp_path):
    """As cass leaves a network of either kind: one folder, one command, from which both rows start."""
    text = """
        name: a
        prepare: {classes: kind}
        methods: {classification: }
        networks: {CNN: {network: resnet18, width: 8}, ViT: {network: vit_ti16}}
        pretraining: {CASS: {method: cass, on: CNN, peer: vit_ti16}, DINO: {method: dino}}"""
    told = study(tmp_path, text)
    found = shared(trials(told, [0]))
    assert set(found) == {"cass-cnn-f0", "dino-cnn-f0", "dino-vit-f0"}
    commands = {job.name: job.commands[0] for job in pretrainings(found, told, Place(tmp_path, tmp_path))}
    words = commands["pretrain cass-cnn-f0"]
    assert words[words.index("--network") + 1] == "resnet18" and told.classifies
    assert {trial.arm.title for trial in trials(told, [0]) if "CASS" in trial.arm.title} == {
        "classification + CASS (CNN)", "classification + CASS (ViT)",
    }  # fmt: skip


def test_pretraining_is_of_the_network_that_goes_on_with_it(tmp_path):
    text = """
        name: a
        methods: {supervised: , fixmatch: }
        networks: {unet: , Big/Net: {network: unet, width: 64}}
        pretraining: {own: {method: telepathy, layers: 2}}
    """
    read = study(tmp_path, text)
    users = shared(trials(read, [0, 1]))
    assert list(users) == ["own-unet-f0", "own-big-net-f0", "own-unet-f1", "own-big-net-f1"]
    words = pretrainings(users, read, Place(tmp_path, tmp_path))[3].commands[0]
    assert words[:3] == ("pretrain", "telepathy", "store")
    options = " ".join(words)
    assert "--fold 1 --network unet --set layers=2 --set network.width=64" in options


def test_one_pretraining_may_serve_the_arms_of_all_networks(tmp_path):
    """As cass trains a network of either kind at once: once a fold, on the network named, whoever comes first."""
    text = """
        name: a
        methods: {classification: {networks: [ViT, Res], pretraining: [both]}}
        networks: {ViT: {network: vit_ti16}, Res: {network: resnet18, width: 8}}
        pretraining: {both: {method: cass, on: Res}}
        prepare: {classes: kind}
    """
    read = study(tmp_path, text)
    found = trials(read, [0, 1])
    assert [trial.arm.network.label for trial in found[:2]] == ["ViT", "Res"]
    users = shared(found)
    assert list(users) == ["both-res-f0", "both-res-f1"]
    assert len({init(trial.arm, trial.fold, tmp_path) for trial in found if trial.fold == 0}) == 1
    for job in pretrainings(users, read, Place(tmp_path, tmp_path)):
        assert "--network resnet18 --set network.width=8" in " ".join(job.commands[0])
    assert "on: no network 'Ress'; did you mean 'Res'?" in faults(tmp_path, text.replace("on: Res", "on: Ress"))


def test_names_that_lead_out_of_the_folder_stay_in_it(tmp_path):
    read = study(tmp_path, "name: a\nmethods: {../x: {method: supervised}}\npretraining: {../../y/z: {method: m}}")
    (trial,) = trials(read, [0])
    assert "/" not in trial.name and "/" not in pretrained_name(trial.arm, 0)


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


def test_a_row_that_reads_no_labels_has_a_column_of_its_own(tmp_path):
    text = "name: a\nmethods: {supervised: , picie: }\nlabels: [1, 2]\ndraws: [0, 1]\nseeds: [3, 4]\n"
    read = study(tmp_path, text)
    assert [b.title for b in budgets(read)] == ["no labels", "1 label", "2 labels"]
    found = trials(read, [0])
    own = [trial.name for trial in found if trial.arm.method == "picie"]
    assert own == ["picie-no-labels-f0-d0-s3", "picie-no-labels-f0-d0-s4"]  # once a seed, whatever is labeled
    assert len(found) == 2 + 2 * 2 * 2
    alone = study(tmp_path, text.replace("supervised: , ", ""))
    assert [b.title for b in budgets(alone)] == ["no labels"]
    assert "the method 'picie' reads no labels; leave out labels" in faults(
        tmp_path, "name: a\nmethods: {picie: {labels: [1]}}\nlabels: [1]\n"
    )


def test_what_chooses_images_and_labels_is_told_to_prepare_and_evaluate(tmp_path):
    rows = "name: a\nmethods: {supervised: }\nprepare: {label: one/, channels: "
    for channels in ("'T1=mprage|t1,FLAIR'", "{T1: mprage|t1, FLAIR: }", "[T1=mprage|t1, FLAIR]"):
        read, place = study(tmp_path, f"{rows}{channels}}}"), Place(tmp_path, tmp_path / "data")
        chosen = ("--channels", "T1=mprage|t1,FLAIR", "--label", "one/")
        (prepare,) = preparations(read, place, [])
        assert prepare.commands[0][-4:] == chosen
        (trial,) = trials(read, [0])
        *_, evaluate = run_job(read, trial, Run("supervised"), place, Cost(), threads=1).commands
        assert evaluate[0] == "evaluate" and evaluate[-4:] == chosen
