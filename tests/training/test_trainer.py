import dataclasses
import json
import shutil

import nibabel
import numpy as np
import pytest
import torch
import yaml

from halfmask import methods, verbs
from halfmask.augment.views import Augmentation
from halfmask.data.batch import IGNORE
from halfmask.data.layouts import read_index
from halfmask.data.plan import write_plan
from halfmask.data.prepare import prepare
from halfmask.data.store import Store
from halfmask.learning.minimize import Minimizer
from halfmask.learning.processes import Processes
from halfmask.learning.recipe import Recipe
from halfmask.networks.factory import Builder
from halfmask.training import checkpoint
from halfmask.training.device import check_precision, make_predictor
from halfmask.training.journal import read_journal
from halfmask.training.options import Options
from halfmask.training.run import describe, load_run
from halfmask.training.trainer import Trainer
from halfmask.training.validation import validate

SEGMENTERS = sorted(methods.names("semisupervised") | methods.names("adaptation"))


@pytest.fixture
def train(prepared, tmp_path):
    """Train as the command line does, 3 steps in 2D unless told otherwise; gives the run's folder."""

    def run(method="supervised", *, dims=2, out="run", store=None, **options):
        folder = tmp_path / out
        given = {"steps": 3, "validations": 0, "threads": 0} | options
        verbs.train(method, store or prepared(dims).path, out=folder, **given)
        return folder

    return run


def weights(run, which="last.pt"):
    return checkpoint.load(run / which)["state"]


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


def trainer(store, tmp_path, method="supervised", *, steps=3, options=None, **choices):
    recipe = choices.pop("recipe", Recipe(steps=steps))
    run = describe(store.plan, method, settings={}, network=None, recipe=recipe, **choices)
    return Trainer(run, store, tmp_path, options or Options(threads=0, validations=0))


# ---------------------------------------------------------------------------- it trains


@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
@pytest.mark.parametrize("method", SEGMENTERS)
def test_every_method_trains_from_a_store(train, method, dims):
    run = train(method, dims=dims, validations=1, batch="1+2" if method != "supervised" else "1+0")
    plan, told, made, content = load_run(run)
    assert content["step"] == told.recipe.steps == 3
    assert told.method == method
    assert all(v.isfinite().all() for v in content["state"].values())
    result = json.loads((run / "result.json").read_text())
    assert result["steps"] == 3
    assert 0 <= result["best_validation_dice"] <= 1
    assert result["unlabeled"] == (0 if method == "supervised" else 2)
    kinds = [line["kind"] for line in read_journal(run / "journal.jsonl")]
    looks = 0 if method == "supervised" else 3
    assert sorted(kinds) == [*["pseudo-labels"] * looks, "train", "validation"]
    windows = torch.randn(2, 2, *plan.patch)
    assert made.predict(windows).shape == (2, 3, *plan.patch)


def test_a_method_that_compares_the_halves_gets_them_augmented_alike(prepared, tmp_path, monkeypatch):
    seen = []
    for view in ("labeled", "weak"):
        plain = getattr(Augmentation, view)
        note = lambda self, images, view=view, plain=plain: (
            seen.append((view, images.label is None)) or plain(self, images)
        )
        monkeypatch.setattr(Augmentation, view, note)
    for method, view in (("deep_adversarial", "labeled"), ("fixmatch", "weak")):
        seen.clear()
        trainer(prepared(2), tmp_path / method, method, steps=1).train()
        assert seen == [("labeled", False), (view, True)]


@pytest.fixture(scope="module")
def easy(tmp_path_factory):
    """Bright balls in noise; two of the six cases have labels to train on, one validates."""
    folder = tmp_path_factory.mktemp("easy")
    rng = np.random.default_rng(0)
    for case in range(6):
        center, place = rng.uniform(8, 16, 3), np.stack(np.indices((24, 24, 24)), -1)
        ball = np.linalg.norm(place - center, axis=-1) < 6
        image = (100 + 60 * ball + rng.normal(0, 15, ball.shape)).astype(np.int16)
        for part, array in (("images", image), ("labels", ball.astype(np.uint8)))[: 2 if case < 3 else 1]:
            (folder / part).mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), folder / part / f"{case}.nii.gz")
    out = folder / "store"
    plan = prepare(read_index(folder), out, dims=2, test=0).plan
    small = {"patch": (16, 16), "pooling": [(2, 2)], "kernels": [(3, 3)] * 2, "labeled": 6, "unlabeled": 6}
    write_plan(plan.model_copy(update={**small, "network_settings": {"width": 4, "norm": "batch"}}), out / "plan.yaml")
    return Store(out)


@pytest.mark.parametrize("method", SEGMENTERS)
def test_learns_what_is_easy(easy, tmp_path, method):
    made = trainer(easy, tmp_path, method, recipe=Recipe("adamw", 0.01, steps=40))
    predictor = make_predictor(made.method, made.plan, made.fabric)
    score = lambda: validate(predictor, [made.store.case(name) for name in made.exam.cases], made.plan).mean()
    before = score()
    made.train()
    assert score() > before + 0.4


# ---------------------------------------------------------------------------- it can be repeated


@pytest.mark.parametrize("method", ["cross_pseudo_supervision", "mean_teacher"])
def test_the_seed_decides_and_the_threads_do_not(train, method):
    first = weights(train(method, out="first", seed=1))
    for threads in (1, 3):
        assert same(first, weights(train(method, out=f"threads{threads}", seed=1, threads=threads)))
    other = weights(train(method, out="other", seed=2))
    assert not same(first, other)


def test_validation_and_saving_change_nothing(train):
    """Looking at a run must not disturb its random numbers or its batch norm."""
    plain = weights(train("mean_teacher", out="plain", steps=6))
    looked = train("mean_teacher", out="looked", steps=6, validations=6, save_seconds=0)
    assert same(plain, weights(looked))


# ---------------------------------------------------------------------------- what it is given


def test_budgets_are_nested_and_leave_out_who_validates(prepared, tmp_path):
    store = prepared(2)
    chosen = [set(trainer(store, tmp_path, labels=n, seed=3).labeled) for n in (1, 2, 4)]
    assert [len(c) for c in chosen] == [1, 2, 4]
    assert chosen[0] < chosen[1] < chosen[2]
    validated = set(store.splits.folds[0])
    assert validated
    assert chosen[2].isdisjoint(validated | set(store.splits.test))


def test_the_unlabeled_pool_is_all_that_is_neither_labeled_nor_held_out(prepared, tmp_path):
    store = prepared(2)
    made = trainer(store, tmp_path, "mean_teacher", labels=2)
    held = set(store.splits.folds[0]) | set(store.splits.test)
    assert set(made.unlabeled) == set(store.sources) - held - set(made.labeled)
    assert {"phantom_006", "phantom_007"} < set(made.unlabeled)
    for batch in made.loader.batches(0, 2):
        assert batch.unlabeled.label is None
        assert (len(batch.labeled), len(batch.unlabeled)) == (2, 2)


def test_sparse_slices_are_the_only_ones_annotated(prepared, tmp_path):
    store = prepared(3)
    made = trainer(store, tmp_path, "mean_teacher", labels=2, slices=0.1, slice_axis=1)
    assert set(made.labeled) <= set(made.unlabeled), "what nobody annotated of them is unlabeled data"
    stream = made.loader.labeled
    for step, batch in enumerate(made.loader.batches(0, 8)):
        for slot, label in enumerate(batch.labeled.label):
            place = stream.place(step, slot)
            known = {int(i) + place.start[1] for i in (label != IGNORE).any(2).any(0).nonzero()}
            assert known <= set(stream.slices[place.case].tolist())
    assert all(len(kept) == round(0.1 * c.shape[1]) for kept, c in zip(stream.slices, stream.cases, strict=True))


def test_without_unlabeled_cases_the_labeled_images_serve(prepared, tmp_path, capsys):
    store = prepared(2)
    everyone = [c for c in store.stored if store.sources[c].label is not None]
    lonely = Store(store.path)
    lonely.__dict__["stored"] = tuple(everyone)  # as if the data set had no others
    made = trainer(lonely, tmp_path, "mean_teacher")
    assert made.unlabeled == made.labeled
    assert "there are no unlabeled cases" in capsys.readouterr().err


def test_bf16_trains_float32_weights(train):
    run = train("fixmatch", precision="bf16")
    state = weights(run)
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float32}
    assert not same(state, weights(train("fixmatch", out="full", precision="32")))


def test_never_means_never(train, capsys):
    run = train(validations=0)
    assert not (run / "best.pt").exists()
    assert "validation Dice" not in capsys.readouterr().err
    assert json.loads((run / "result.json").read_text())["best_validation_dice"] is None


def test_nobody_to_validate_on_is_told_and_best_is_then_missed_with_a_reason(train, prepared, tmp_path, capsys):
    store = tmp_path / "store"
    shutil.copytree(prepared(2).path, store)
    splits = yaml.safe_load((store / "splits.yaml").read_text())
    (store / "splits.yaml").write_text(yaml.safe_dump(splits | {"folds": [[]]}))
    run = train(store=store, validations=1)
    assert "fold 0 has no cases to validate on, so there will be no best.pt" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"run holds no best\.pt, as nothing was validated .* --checkpoint last"):
        verbs.predict(run, split="test", out=tmp_path / "masks", checkpoint="best")
    train(store=store, validations=0, out="never")
    assert "best.pt" not in capsys.readouterr().err, "who wants none misses none"


# ---------------------------------------------------------------------------- it says what is wrong


def test_a_broken_case_stops_the_run_with_step_loss_and_case(prepared, tmp_path, train):
    store = tmp_path / "store"
    shutil.copytree(prepared(2).path, store)
    broken = trainer(Store(store), tmp_path / "x", labels=2).labeled[1]
    file = store / "cases" / broken / "case.json"
    about = json.loads(file.read_text())
    about["channels"][0]["mean"] = float("nan")
    file.write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"step \d+: the loss 'supervised' is not finite; the batch held") as told:
        train(store=store, labels="2", steps=20, out="run")
    assert broken in str(told.value)
    assert "--rate" in str(told.value)
    assert not (tmp_path / "run" / "last.pt").exists(), "broken weights are not saved"


def test_a_loss_that_breaks_is_told_by_its_own_step_even_when_looked_at_late(prepared, tmp_path):
    """On a GPU losses are looked at every few steps only: step and cases must be those of the first."""
    made = trainer(prepared(2), tmp_path, "mean_teacher", steps=12)

    class Exploding(Minimizer):
        def __call__(self, networks, **losses):
            factor = torch.inf if self.step == 4 else 1.0
            super().__call__(networks, **losses | {"consistency": factor * losses["consistency"]})

        def check(self):
            if self.step > 8:
                super().check()

    made.minimize.__class__ = Exploding
    with pytest.raises(ValueError, match="step 4: the loss 'consistency' is not finite") as told:
        made.train()
    assert all(name in str(told.value) for name in made.loader.cases(4))


def test_memory_that_runs_out(prepared, tmp_path, monkeypatch):
    made = trainer(prepared(2), tmp_path)

    def out(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(made.method, "step", out)
    with pytest.raises(ValueError, match=r"memory ran out at step 0 with batch 2\+0 of \(16, 16\).*lower --batch"):
        made.train()


# ---------------------------------------------------------------------------- other runs


def test_a_run_is_neither_overwritten_nor_mixed_with_another(train, prepared):
    run = train("mean_teacher")
    before = (run / "last.pt").read_bytes()
    with pytest.raises(ValueError, match="holds a run already; go on with --resume"):
        train("mean_teacher")
    with pytest.raises(ValueError, match="is of another run") as told:
        train("mean_teacher", resume=True, seed=5, set=["weight=0.7", "network.width=8"], rate=0.5)
    for part in ("run.seed: 0 then, 5 now", "'weight': 0.1", "'weight': 0.7", "'width': 8", "'rate': 0.5"):
        assert part in str(told.value)
    assert "fold" not in str(told.value).split("is of another run")[1], "only what differs"
    assert (run / "last.pt").read_bytes() == before


def test_another_choice_of_cases_is_another_run(train, prepared, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(prepared(2).path, store)
    train(store=store)
    file = store / "splits.yaml"
    splits = yaml.safe_load(file.read_text())
    splits["folds"] = splits["folds"][1:]
    file.write_text(yaml.safe_dump(splits))
    with pytest.raises(ValueError, match=r"is of another run; .*labeled"):
        train(store=store, resume=True)


def test_other_first_weights_are_another_run(train):
    source = train(out="source")
    run = train(init=source)
    assert yaml.safe_load((run / "run.yaml").read_text())["init"] == str(source)
    with pytest.raises(ValueError, match=r"is of another run; run\.init: .*source' then, None now"):
        train(resume=True)


def test_going_on_with_what_is_done_changes_nothing(train):
    run = train("mean_teacher")
    before, journal = weights(run), (run / "journal.jsonl").read_text()
    train("mean_teacher", resume=True)
    assert same(before, weights(run))
    assert (run / "journal.jsonl").read_text() == journal


def test_what_was_chosen_stands_in_run_yaml(train):
    run = train("mean_teacher", labels="2", set=["decay=0.9", "network.blocks=1,2"])
    about = yaml.safe_load((run / "run.yaml").read_text())
    assert about["method"] == "mean_teacher"
    assert about["settings"]["decay"] == 0.9
    assert about["network_settings"]["blocks"] == [1, 2]
    assert about["recipe"]["optimizer"] == "sgd"
    assert len(about["labeled_cases"]) == 2


# ---------------------------------------------------------------------------- weights of another run


def test_init_gives_all_to_the_first_and_the_encoder_to_the_second(train, prepared, tmp_path, capsys):
    source = train("mean_teacher", out="source")
    given = {k.removeprefix("teacher."): v for k, v in weights(source).items() if k.startswith("teacher.")}
    made = trainer(prepared(2), tmp_path, "cross_pseudo_supervision")
    made.initialize(str(source))
    told = capsys.readouterr().err
    assert "student: " in told
    assert "100.0% of the parameters, went over" in told
    assert "not in the source: " in told.split("peer: ")[1]
    student, peer = made.method.student.state_dict(), made.method.peer.state_dict()
    for name, value in given.items():
        assert torch.equal(student[name], value)
        if name.startswith("encoder."):
            assert torch.equal(peer[name], value)
    different = [n for n in given if not n.startswith("encoder.") and n.endswith("weight") and given[n].ndim > 1]
    assert different
    assert not any(torch.equal(peer[name], student[name]) for name in different)


def test_init_gives_a_teacher_what_its_student_gets(train, prepared, tmp_path):
    source = train("supervised", out="source")
    made = trainer(prepared(2), tmp_path, "mean_teacher")
    made.initialize(str(source))
    assert same(made.method.student.state_dict(), made.method.teacher.state_dict())
    assert same(made.method.student.state_dict(), {k.removeprefix("student."): v for k, v in weights(source).items()})


def test_init_from_another_network_is_refused(train):
    """A V-Net has names in common with a U-Net, and shapes by chance."""
    source = train("supervised", out="source")
    with pytest.raises(ValueError, match=r"source holds the weights of a unet, this run trains a vnet; give --network"):
        train("supervised", network="vnet", init=source)


# ---------------------------------------------------------------------------- what a run is


def test_method_recipe_and_user_are_heard_in_this_order(prepared):
    plan = prepared(2).plan
    about = lambda method, **recipe: describe(plan, method, settings={}, network=None, recipe=Recipe(**recipe)).recipe
    assert (about("mean_teacher").labeled, about("mean_teacher").unlabeled) == (2, 2)
    assert about("supervised").unlabeled == 0, "the method's recipe is over the plan"
    assert about("mean_teacher", labeled=5).labeled == 5
    assert about("supervised", unlabeled=3).unlabeled == 0, "nobody can make it read unlabeled images"
    full = about("mean_teacher", rate=0.5)
    assert full.rate == 0.5
    assert all(v is not None for v in dataclasses.asdict(full).values())


def test_all_of_the_recipe_can_be_chosen(train):
    run = train(optimizer="sgd", rate=0.02, momentum=0.5, weight_decay=0.1, schedule="cosine", clip=3.0, batch="1+1")
    _, told, _, content = load_run(run)
    assert told.recipe == Recipe("sgd", 0.02, 0.5, 0.1, "cosine", 3.0, 3, 1, 0)
    assert content["cases"]["unlabeled"] == (), "the method reads none, so it claims none"
    with pytest.raises(ValueError, match="momentum is a setting of sgd, the optimizer is adam"):
        train(optimizer="adam", momentum=0.5, out="other")


def test_all_that_is_wrong_with_the_settings_is_told_at_once(prepared):
    with pytest.raises(ValueError, match="did you mean 'weight'") as told:
        describe(
            prepared(2).plan,
            "mean_teacher",
            settings={"wieght": "1", "decay": "much", "network.widht": "8"},
            network=None,
            recipe=Recipe(unlabeled=0),
        )
    lines = str(told.value).splitlines()
    assert len(lines) == 4
    assert "decay = 'much'" in lines[1]
    assert "did you mean 'width'" in lines[2]
    assert "method 'mean_teacher' learns from unlabeled images" in lines[3]


def test_a_method_that_keeps_cases_is_refused_to_several_processes(prepared, tmp_path):
    run = describe(prepared(2).plan, "temporal_ensembling", settings={}, network=None, recipe=Recipe(steps=1))
    several = Processes()
    several.size = 2
    with pytest.raises(ValueError, match="trained by one process, not by 2"):
        Trainer(run, prepared(2), tmp_path, Options(threads=0), processes=several)


@pytest.mark.parametrize(("patch", "refused"), [((8, 16, 16), True), ((16, 8, 16), False), ((16, 16, 16), False)])
def test_half_precision_is_refused_where_a_cpu_computes_it_wrongly(patch, refused):
    """Two halvings: of 8 voxels 2 are left, which matters along the first axis alone."""
    small = {"pooling": [(1,) * 3, (2,) * 3, (2,) * 3], "kernels": [(3,) * 3] * 3, "settings": {"width": 4}}
    builder = Builder("unet", channels=1, classes=2, dims=3, patch=patch, **small)
    method = methods.find("mean_teacher")(builder)
    check_precision(method, torch.device("cpu"), "32")
    check_precision(method, torch.device("cuda"), "bf16")
    if not refused:
        check_precision(method, torch.device("cpu"), "bf16")
        return
    with pytest.raises(ValueError, match=r"student has maps of 2×4×4 voxels.*give --precision 32"):
        check_precision(method, torch.device("cpu"), "bf16")
