"""Pre-training from a store, and what goes over from it."""

import itertools
import json
import shlex
import shutil
from types import SimpleNamespace

import pytest
import torch

from halfmask import methods, verbs
from halfmask.data.phantom import make_phantoms
from halfmask.data.plan import read_plan, write_plan
from halfmask.data.split import Splits
from halfmask.data.stored_case import StoredCase
from halfmask.learning.method import Converged, Pretrainer
from halfmask.learning.processes import Processes
from halfmask.learning.recipe import Recipe
from halfmask.methods.pretraining.simclr import SimCLR
from halfmask.training import checkpoint
from halfmask.training.cases import unlabeled_cases
from halfmask.training.exam import features as features_exam
from halfmask.training.interrupt import Stopped
from halfmask.training.journal import read_journal
from halfmask.training.options import Options
from halfmask.training.pretrained import read
from halfmask.training.run import describe
from halfmask.training.trainer import Trainer


@pytest.fixture
def pretrain(prepared, tmp_path):
    """Pre-train as the command line does, 3 steps in 2D unless told otherwise; gives the run's folder."""

    def run(method="simclr", *, dims=2, out="pre", **options):
        given = {"steps": 3, "threads": 0, "batch": 4, "validations": 1} | options
        verbs.pretrain(method, prepared(dims).path, out=tmp_path / out, **given)
        return tmp_path / out

    return run


def state(folder, which="last.pt"):
    return checkpoint.load(folder / which)["state"]


def trainer(store, out, *, steps=3, **options):
    run = describe(store.plan, "simclr", settings={}, network=None, recipe=Recipe(steps=steps, unlabeled=4))
    return Trainer(run, store, out, Options(threads=0, **({"validations": 0} | options)))


def test_a_data_set_without_a_single_label_can_be_learned_from(tmp_path):
    make_phantoms(tmp_path / "data", subjects=3, labeled=0, test=0, shape=(24, 24, 24))
    for _ in range(2):  # the same again is nothing to do
        verbs.prepare(tmp_path / "data", out=tmp_path / "store", dims=2, folds=3, workers=1)
    verbs.pretrain("rotation", tmp_path / "store", out=tmp_path / "pre", steps=1, batch=2, threads=0)
    result = json.loads((tmp_path / "pre" / "result.json").read_text())
    assert result["labeled"] == [] and result["unlabeled"] == 3
    with pytest.raises(
        ValueError, match="no case has a label outside fold 0 and the sealed part, and fixmatch learns from labels"
    ):
        verbs.train("fixmatch", tmp_path / "store", out=tmp_path / "run", steps=1)


@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
@pytest.mark.parametrize("method", sorted(methods.names("pretraining")))
def test_every_method_trains_and_goes_over(pretrain, prepared, tmp_path, capsys, method, dims):
    pre = pretrain(method, dims=dims)
    result = json.loads((pre / "result.json").read_text())
    store = prepared(dims)
    assert result["labeled"] == [] and result["steps"] == 3
    assert result["unlabeled"] == len(set(store.stored) - set(store.splits.folds[0]))
    looks = [line for line in read_journal(pre / "journal.jsonl") if line["kind"] == "features"]
    assert len(looks) == 4 and all(line["rank"] >= 1 for line in looks)  # before the first step, and after each
    kept = methods.find(method).keeps
    capsys.readouterr()
    verbs.train("supervised", store.path, out=tmp_path / "run", init=pre, steps=1, rate=1e-9, validations=0, threads=0)
    told = capsys.readouterr().err
    assert "went over" in told
    ours, theirs = state(tmp_path / "run"), state(pre, "best.pt" if result["best_held_out_loss"] else "last.pt")
    network = next(iter(kept))
    for key, value in ours.items():
        if key.startswith("student.encoder.") and value.is_floating_point():
            torch.testing.assert_close(value, theirs[key.replace("student", network, 1)], rtol=0, atol=1e-6)


VIT = ["network.hidden_size=24", "network.heads=2", "network.layers=2", "network.token=8"]


@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
def test_a_vit_is_pre_trained_and_another_pre_training_starts_from_it(pretrain, dims, capsys):
    pre = pretrain("dino", dims=dims, network="vit_ti16", set=VIT)
    capsys.readouterr()
    after = pretrain("simclr", dims=dims, out="after", network="vit_ti16", set=VIT, init=pre, steps=1, rate=1e-9)
    assert "a vit_ti16's encoder" in (told := capsys.readouterr().err) and "100.0% of the parameters, went over" in told
    ours, theirs = state(after), state(pre)
    kept = [key for key in ours if key.startswith("student.encoder.")]
    assert "student.encoder.class_token" in kept
    for key in kept:
        torch.testing.assert_close(ours[key], theirs[key.replace("student", "teacher")], rtol=0, atol=1e-6)


def test_a_resnet_is_pre_trained_and_a_unet_starts_from_it(prepared, tmp_path, capsys):
    store = tmp_path / "store"
    shutil.copytree(prepared(2).path, store)
    write_plan(read_plan(store / "plan.yaml").model_copy(update={"patch": (32, 32)}), store / "plan.yaml")
    small = dict(set=["network.width=4"], steps=1, threads=0, validations=0, rate=1e-9)
    verbs.pretrain("rotation", store, out=tmp_path / "pre", network="resnet18", batch=4, **small)
    capsys.readouterr()
    verbs.train("supervised", store, out=tmp_path / "run", network="resnet_unet", init=tmp_path / "pre", **small)
    assert "holds the weights of a resnet18's encoder" in capsys.readouterr().err
    ours, theirs = state(tmp_path / "run"), state(tmp_path / "pre")
    for key in (key for key in theirs if key.startswith("student.encoder.") and key.endswith("conv1.weight")):
        torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"network 'resnet18' has no decoder: .* to segment take resnet_unet"):
        verbs.train("supervised", store, out=tmp_path / "other", network="resnet18", **small)
    assert not (tmp_path / "other" / "last.pt").exists()
    with pytest.raises(ValueError, match="a resnet18's encoder, this run trains a unet; give --network resnet_unet or"):
        verbs.train("supervised", store, out=tmp_path / "unet", init=tmp_path / "pre", **small)


def test_no_label_is_learned_from(pretrain, monkeypatch):
    plain = state(pretrain(out="plain"))
    monkeypatch.setattr(StoredCase, "label", property(lambda self: 0 * self.image[0].astype("uint8")))
    unlabeled = state(pretrain(out="unlabeled"))
    assert all(value.equal(unlabeled[name]) for name, value in plain.items())


def test_the_held_out_cases_choose_the_weights_and_end_the_training(prepared, tmp_path, monkeypatch):
    losses = iter([3.0, 2.0, 2.5, 2.0, 2.1])
    monkeypatch.setattr(features_exam, "JUDGED", 4)
    monkeypatch.setattr(SimCLR, "held", 0.4)
    monkeypatch.setattr(SimCLR, "judge", lambda self, image: torch.tensor(next(losses)), raising=False)
    monkeypatch.setattr(SimCLR, "begin", lambda self, cases: told.update(cases), raising=False)
    told: dict = {}
    made = trainer(prepared(2), tmp_path, steps=40, validations=40)
    result = made.train()
    held = set(made.exam.cases)
    assert held and held < set(made.unlabeled)
    learned = [case.name for case in made.loader.unlabeled.cases]
    assert held.isdisjoint(learned) and list(told) == learned  # in the order of `Images.case`
    assert result["steps"] == 5 and result["planned"] == 40  # three grades in a row that were no better than the best
    assert result["best_held_out_loss"] == 2.0
    assert checkpoint.load(tmp_path / "best.pt")["step"] == 2
    # What is done is not gone on with.
    again = trainer(prepared(2), tmp_path, steps=40, validations=40)
    again.resume()
    assert again.train()["steps"] == 5
    # And the best go over.
    out = tmp_path / "run"
    verbs.train("supervised", prepared(2).path, out=out, init=tmp_path, steps=1, rate=1e-9, validations=0, threads=0)
    name = next(key for key in state(out) if key.startswith("student.encoder.") and key.endswith("weight"))
    torch.testing.assert_close(state(out)[name], state(tmp_path, "best.pt")[name], rtol=0, atol=1e-7)
    assert not state(tmp_path)[name].equal(state(tmp_path, "best.pt")[name])
    # But for no others in their place.
    (tmp_path / "best.pt").unlink()
    with pytest.raises(ValueError, match=r"best\.pt is gone.*--init \S+last\.pt"):
        verbs.train("supervised", prepared(2).path, out=tmp_path / "other", init=tmp_path, steps=1, threads=0)


def test_a_best_that_another_run_left_behind_is_not_taken(pretrain):
    pre = pretrain("masked_autoencoder")
    (pre / "last.pt").unlink()
    pretrain("simclr")
    (weights,) = read(str(pre))
    assert all(value.equal(state(pre)[f"student.{name}"]) for name, value in weights.state.items())


def test_processes_agree_on_how_good_it_is(prepared, tmp_path, monkeypatch):
    """Else the last bits of their devices would end one and not the other."""

    class Two(Processes):
        def average(self, tensors):
            for t in tensors:
                t += 0.5  # as if it were 2 here and 3 there

    monkeypatch.setattr(features_exam, "JUDGED", 4)
    monkeypatch.setattr(SimCLR, "held", 0.4)
    monkeypatch.setattr(SimCLR, "judge", lambda self, image: torch.tensor(2.0), raising=False)
    features = trainer(prepared(2), tmp_path, validations=1).exam
    features.processes = Two()
    grade = features.grade()
    assert grade.score == -2.5 and grade.figures == {"loss": 2.5}


def test_without_images_to_learn_from_it_says_so(prepared):
    store = prepared(2)
    run = describe(store.plan, "simclr", settings={}, network=None, recipe=Recipe(steps=1, unlabeled=4))
    all_held = SimpleNamespace(
        path=store.path, stored=store.stored, splits=Splits((), (tuple(store.stored),), ((),), {})
    )
    with pytest.raises(ValueError, match=r"sealed or held out by fold 0.*give another --fold"):
        unlabeled_cases(run, all_held)


def test_a_method_that_has_converged_ends_the_training(prepared, tmp_path, monkeypatch, capsys):
    step = SimCLR.step

    def converging(self, batch, minimize, clock):
        step(self, batch, minimize, clock)
        if clock.step == 3:
            raise Converged("the loss stays where it is")

    monkeypatch.setattr(SimCLR, "step", converging)
    result = trainer(prepared(2), tmp_path, steps=20).train()
    assert result["steps"] == 4
    assert "done after 4 of 20 steps: the loss stays where it is" in capsys.readouterr().err


def test_a_stopped_one_goes_on_to_the_same_weights(pretrain, monkeypatch):
    plain = state(pretrain(out="plain", steps=6, method="simclr"))
    look = features_exam.Features.look

    def stop(self, step, steps):
        if step == 4:
            raise Stopped("now", 15)
        return look(self, step, steps)

    monkeypatch.setattr(features_exam.Features, "look", stop)
    with pytest.raises(Stopped):
        pretrain(out="again", steps=6, save_seconds=0)
    monkeypatch.setattr(features_exam.Features, "look", look)
    resumed = state(pretrain(out="again", steps=6, resume=True))
    assert all(value.equal(resumed[name]) for name, value in plain.items())


def test_what_it_saw_cannot_be_measured_on(pretrain, prepared, tmp_path):
    pre, store = pretrain(), prepared(2)
    start = dict(init=pre, steps=1, validations=0, threads=0)
    with pytest.raises(ValueError, match=r"has seen \d+ cases that fold 1 holds out"):
        verbs.train("supervised", store.path, out=tmp_path / "run", fold=1, **start)
    verbs.train("fixmatch", store.path, out=tmp_path / "run", fold=0, **start)


def test_the_wrong_verb_names_the_right_one(prepared, tmp_path):
    store = prepared(2).path
    with pytest.raises(ValueError, match="give `halfmask train fixmatch"):
        verbs.pretrain("fixmatch", store, out=tmp_path / "run")
    with pytest.raises(ValueError, match="give `halfmask pretrain simclr"):
        verbs.train("simclr", store, out=tmp_path / "run")
    with pytest.raises(
        ValueError,
        match="--seed is 0 or more, got -1\n--batch is at least 1, got 0\n--rate is a number above 0, got -1",
    ):
        verbs.pretrain("simclr", store, out=tmp_path / "run", seed=-1, batch=0, rate=-1)
    assert not (tmp_path / "run").exists()


def test_it_tells_how_to_go_on(pretrain, prepared, capsys):
    store = prepared(2).path
    pre = pretrain(network="vnet", set=["network.width=4"])
    words = shlex.split(capsys.readouterr().out.splitlines()[-1].partition("halfmask train METHOD ")[2])
    assert words[:5] == [str(store), "--init", str(pre), "--fold", "0"]
    assert words[5:] == ["--network", "vnet", "--set", "network.width=4", "--out", "RUN"]
    pretrain(out="planned")
    assert "--network" not in capsys.readouterr().out


def test_it_does_not_predict(pretrain, prepared):
    pre = pretrain()
    with pytest.raises(ValueError, match="which predicts nothing; train from it: --init"):
        verbs.predict(pre, split="test", store=prepared(2).path)
    assert issubclass(SimCLR, Pretrainer)


def test_the_report_tells_its_curves_and_what_could_be_typed(pretrain, tmp_path):
    pre = pretrain(seed=2, rate=0.002, set=["temperature=0.2"])
    html = verbs.report([pre], out=tmp_path / "report.html").read_text()
    assert "makes features, no masks" in html and "What is missing" not in html
    assert "nearest neighbors" in html
    command = next(line for line in html.splitlines() if "halfmask pretrain simclr" in line)
    options = command[command.index("halfmask pretrain") :].split("<")[0].split()
    assert not {"--labels", "--slices", "--draw"} & set(options)
    again = dict(itertools.pairwise(options))
    assert (again["--batch"], again["--seed"], again["--rate"]) == ("4", "2", "0.002")
    assert "temperature=0.2" in options
