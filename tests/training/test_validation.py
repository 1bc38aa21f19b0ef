import shutil
import types

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from halfmask.data.store import Store
from halfmask.inference.classify import ClassPredictor
from halfmask.learning.processes import Processes
from halfmask.learning.recipe import Recipe
from halfmask.networks.domain_norm import DomainNorm
from halfmask.training.device import make_predictor
from halfmask.training.options import Options
from halfmask.training.run import describe
from halfmask.training.trainer import Trainer
from halfmask.training.validation import classify, validate, validated


class OneOf(Processes):
    """A process among several whose shares are known already; without them it ends when it has given its own."""

    def __init__(self, rank, size, shares=None):
        self.rank, self.size, self.shares = rank, size, shares

    def gather(self, value):
        if self.shares is None:
            raise StopIteration(value)
        return self.shares


@pytest.mark.parametrize("size", [1, 2, 5])
def test_every_process_has_the_probabilities_of_all_images_in_their_order(size):
    """More processes than images too: some then have none."""
    images = [np.full((1, 1, 2, 2), value, np.float32) for value in (0.1, 0.4, 0.2)]
    cases = [types.SimpleNamespace(normalized=lambda image=image: image) for image in images]
    plan = types.SimpleNamespace(dims=2, patch=(2, 2), labels={"a": 0, "b": 1})
    predict = lambda x: torch.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], 1)
    predictor = ClassPredictor(predict, plan, torch.device("cpu"))
    shares = []
    for rank in range(size):
        with pytest.raises(StopIteration) as ended:
            classify(predictor, cases, OneOf(rank, size))
        shares.append(ended.value.value)
    found = classify(predictor, cases, OneOf(size - 1, size, shares))
    np.testing.assert_allclose(found, [[0.1, 0.9], [0.4, 0.6], [0.2, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(("orientation", "most"), [("SPL", 10), (None, 100)])
def test_a_part_of_a_large_fold_is_validated_on_evenly(prepared, orientation, most):
    plan = prepared(2).plan.model_copy(update={"orientation": orientation})
    few, many = [f"case {n}" for n in range(most)], [f"case {n}" for n in range(25 * most + 3)]
    assert validated(few, plan) == few
    found = validated(many, plan)
    assert most / 2 < len(found) <= most and found[0] == many[0] and many.index(found[-1]) > 20 * most
    assert validated([], plan) == []


@pytest.mark.parametrize(("orientation", "most"), [("SPL", 10), (None, 100)])
def test_all_domains_are_validated_on_evenly_and_no_more_cases_than_without(prepared, orientation, most):
    plan = prepared(2).plan.model_copy(update={"orientation": orientation})
    names = [f"case {n}" for n in range(8 * most)]
    for period, common in ((2, most / 2), (8, most / 2), (20, 3 * most / 10)):
        domains = {name: "rare" if n % period == 1 else "common" for n, name in enumerate(names)}
        found = validated(names, plan, domains=domains)
        of = [domains[name] for name in found]
        assert len(found) <= most and of.count("rare") >= min(3, 8 * most // period // 2), period
        assert common <= of.count("common") <= most / 2, period
        assert found == [name for name in names if name in found]
    lone = dict.fromkeys(names, "A")
    assert validated(names, plan, domains=lone) == validated(names, plan)


@pytest.fixture(scope="module")
def store(prepared, tmp_path_factory):
    """Fold 0 validates on two cases of scanner B and one of A; fold 1 on one of A alone."""
    folder = tmp_path_factory.mktemp("domains") / "store"
    shutil.copytree(prepared(2).path, folder)
    splits = yaml.safe_load((folder / "splits.yaml").read_text())
    of = {domain: sorted(n for n in splits["labeled"][0] if prepared(2).sources[n].domain == domain) for domain in "AB"}
    splits["folds"] = [[of["B"][0], of["A"][0], of["B"][1]], of["A"][:1]]
    (folder / "splits.yaml").write_text(yaml.safe_dump(splits))
    return Store(folder)


def made(store, out, method="supervised", **choices):
    """A trainer of a network that tells classes by the brightness of the first channel, from 0 and 1 up on the source's
    side, from −1 and 0 up on the target's."""
    run = describe(store.plan, method, settings={}, network=None, recipe=Recipe(steps=2), **choices)
    trainer = Trainer(run, store, out, Options(threads=0, validations=0))
    norm, conv = DomainNorm(nn.BatchNorm2d(2)), nn.Conv2d(2, 3, 1)
    with torch.no_grad():
        norm.target_mean.fill_(-1)
        conv.weight.zero_()[:, 0, 0, 0] = torch.tensor([0.0, 4, 8])
        conv.bias.copy_(torch.tensor([0.0, 0, -4]))
    trainer.method.student = nn.Sequential(norm, conv)
    return trainer


def by_hand(trainer, side):
    """Dice (N, S) of the exam's cases, all by the statistics of one side."""
    sources = {"source": ("all",), "target": ()}[side]
    predictor = make_predictor(trainer.method, trainer.plan, trainer.fabric, source=sources)
    cases = [trainer.store.case(name) for name in trainer.exam.cases]
    return validate(predictor, cases, trainer.plan, domains={case.name: "all" for case in cases})


@pytest.mark.parametrize("choice", [{"source": ("B",)}, {"target": ("A",)}, {"source": ("B",), "target": ("A",)}])
def test_each_validation_case_is_predicted_as_its_domain_s_and_the_source_chooses(store, tmp_path, choice):
    trainer = made(store, tmp_path, **choice)
    grade = trainer.exam.grade()
    source, target = by_hand(trainer, "source"), by_hand(trainer, "target")
    assert (np.abs(source - target).max(1) > 0.3 * source.max(1)).all(), "else the sides could be mixed up"
    right = np.stack([source[0], target[1], source[2]])  # B, A, B
    assert grade.figures["dice mean"] == pytest.approx(right.mean())
    assert grade.figures["dice mean B"] == grade.score == pytest.approx(source[[0, 2]].mean())
    assert grade.figures["dice mean A"] == pytest.approx(target[1].mean())
    b, a = source[[0, 2]].mean(), target[1].mean()
    assert grade.told == f"validation Dice {right.mean():.4f} (A {a:.4f}, B {b:.4f})"
    case = store.case(trainer.exam.cases[1])
    given = make_predictor(trainer.method, trainer.plan, trainer.fabric)
    np.testing.assert_array_equal(trainer.exam.predict(case), given.decide(given.probability(case.normalized())))


def test_where_no_case_of_the_source_validates_the_others_choose(store, tmp_path):
    trainer = made(store, tmp_path, source=("B",), fold=1)
    grade = trainer.exam.grade()
    assert grade.score == grade.figures["dice mean"] == grade.figures["dice mean A"]
    assert grade.score == pytest.approx(by_hand(trainer, "target").mean())


def test_without_domains_in_the_run_nothing_is_told_of_them(store, tmp_path):
    grade = made(store, tmp_path).exam.grade()
    assert set(grade.figures) == {"dice lesion", "dice ventricles", "dice mean"}
    assert grade.score == grade.figures["dice mean"] and grade.told == f"validation Dice {grade.score:.4f}"


def test_pseudo_labels_are_looked_at_as_the_target_s(store, tmp_path):
    trainer = made(store, tmp_path, "mean_teacher", source=("B",))
    seen = []
    trainer.exam.monitor.look = lambda method, *_: seen.append(
        {norm.side for norm in method.modules() if isinstance(norm, DomainNorm)}
    )
    trainer.exam.grade()
    trainer.exam.look(1, 10)
    assert seen == [{"target"}]
