"""The game between student and critic is watched: figures that are made up, and trainings that are not."""

import dataclasses
import json
import math
import random
import re

import pytest

from halfmask import verbs
from halfmask.training import checkpoint, trainer
from halfmask.training.journal import read_journal
from halfmask.training.stability import LONG, Stability

LINES = 1000


def line(n, **others):
    """The figures of a sound run at noted step n of `LINES`: labels are learned, in noise, and the halves adapted."""
    draw = random.Random(n)
    noise = lambda: draw.random() - 0.5
    sound = {
        "supervised": (0.15 + 1.5 * 0.99**n) * (1 + noise()),
        "adversarial": 0.1,
        "critic_labeled": 0.6 + noise(),
        "critic_unlabeled": 0.6 + noise(),
        "told_apart": round(4 * (0.5 + 0.4 * 0.99**n + 0.5 * noise())) / 4,
        "gradient ratio": 0.05 * 10 ** (2 * noise()) * 1.005**n,
    }
    return sound | others


def told(lines, watch=None):
    """What is said at each noted step where anything is, and the first at which training has come apart."""
    watch, said, apart = watch or Stability(10 * LINES), {}, None
    for n, figures in enumerate(lines, 1):
        if words := watch.follow(10 * n, figures):
            said[n] = " ".join(words)
        if watch.come_apart and apart is None:
            apart = n
    return said, apart


def stream(**changes):
    """A sound run in which some figures are functions of n instead."""
    return [line(n, **{name.replace("_ratio", " ratio"): f(n) for name, f in changes.items()}) for n in range(LINES)]


def test_a_sound_run_is_left_in_peace():
    assert told(stream()) == ({}, None)
    calm = lambda n: 0.5
    assert told(stream(supervised=lambda n: 1.0 + 0.3 * (-1) ** n, gradient_ratio=calm)) == ({}, None), (
        "nothing learned"
    )
    assert told(stream(supervised=lambda n: 0.2 if n < 200 else 1.9, gradient_ratio=calm)) == ({}, None), "nor by whom"
    spiked = stream(supervised=lambda n: 5.0 if 200 < n < 206 else 0.3 if n > 30 else 1.0, gradient_ratio=lambda n: 3.0)
    assert told(spiked)[1] is None


def test_a_critic_that_wins_is_told_of_late_and_again_once_it_had_lost():
    said, apart = told(stream(told_apart=lambda n: 1.0 if n < 550 or n > 600 else 0.5))
    assert apart is None
    first, again = said
    assert first == LINES // 2, "at first every critic wins"
    assert again > 600 and said[first].startswith("warning: the critic has won (told_apart is 1.00")
    assert "critic_rate" in said[again] and "spectral norm" in said[again]


def test_a_critic_at_chance_is_noted_only_if_it_never_was_above():
    said, apart = told(stream(told_apart=lambda n: (0.25, 0.5, 0.75)[n % 3]))
    assert list(said) == [LINES // 2] and said[LINES // 2].startswith("note: the critic never told much more apart")
    assert apart is None
    assert told(stream(told_apart=lambda n: 0.8 if n < LONG / 2 else 0.5)) == ({}, None), "that is adaptation"


def test_an_adversarial_gradient_that_outweighs_matters_sooner_where_labels_are_not_learned():
    learned, unlearned = (lambda n: 0.2 if n > 30 else 1.0), (lambda n: 0.8 if n > 30 else 1.0)
    for supervised, ratio, warned in ((learned, 3.0, False), (learned, 15.0, True), (unlearned, 3.0, True)):
        said, apart = told(stream(supervised=supervised, gradient_ratio=lambda n, ratio=ratio: ratio))
        assert apart is None and len(said) == warned, (ratio, said)
        assert all(f"the adversarial gradient is {ratio:.3g} times" in words for words in said.values())
    said, _ = told(stream(supervised=unlearned, gradient_ratio=lambda n: 0.1 if 300 < n < 400 else 3.0))
    first, again = said
    assert first < 300 and again > 400, "it had recovered"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"supervised": lambda n: 1 + n / 50, "gradient_ratio": lambda n: 30.0}, r"supervised loss is .* 30 times"),
        (
            {"supervised": lambda n: 1.5 if n < 30 or n > 250 else 0.2, "gradient_ratio": lambda n: 1 + n / 100},
            r"supervised loss is .* after 1.5 at the start and 0.2\d* at its lowest",
        ),
        (
            {"supervised": lambda n: 1 + n / 50, "gradient_ratio": lambda n: math.nan, "told_apart": lambda n: 1.0},
            "told_apart is 1.00",
        ),
        ({"critic_labeled": lambda n: -(1.05**n), "gradient_ratio": lambda n: 0.1}, "critic's losses add up to -"),
    ],
    ids=["worse-than-at-first", "lost-again", "critic-won", "wasserstein-without-bound"],
)
def test_what_comes_apart_is_stopped_and_goes_on_alike_when_resumed(changes, why):
    lines = stream(**changes)
    apart = told(lines)[1]
    assert apart is not None
    whole = Stability(10 * LINES)
    said, _ = told(lines[:apart], whole)
    assert re.search(why, whole.come_apart), whole.come_apart
    for cut in (3, 50, apart - 1):
        before = Stability(10 * LINES)
        first, _ = told(lines[:cut], before)
        after = Stability(**dataclasses.asdict(before))  # as a checkpoint keeps it
        more = {n: w for n in range(cut, apart) if (w := " ".join(after.follow(10 * (n + 1), lines[n])))}
        assert after == whole and after.come_apart == whole.come_apart
        assert len(first) + len(more) == len(said), "nothing is said twice"


@pytest.fixture
def train(prepared, tmp_path, monkeypatch):
    """Train DAN with settings, noting every step, so that few tell; gives the run's folder."""
    monkeypatch.setattr(trainer, "LOG_EVERY", 1)

    def run(*settings, out="run", **options):
        given = {"steps": 120, "threads": 0, "validations": 6} | options
        verbs.train("deep_adversarial", prepared(2).path, out=tmp_path / out, set=list(settings), **given)
        return tmp_path / out

    return run


def test_a_sane_training_goes_through_and_notes_its_gradients(train, capsys):
    run = train(steps=60, validations=1)
    assert "adversarial gradient" not in capsys.readouterr().err
    assert json.loads((run / "result.json").read_text())["steps"] == 60
    names = {"gradient supervised", "gradient adversarial", "gradient critic", "gradient ratio", "told_apart"}
    assert all(names <= noted.keys() for noted in read_journal(run / "journal.jsonl") if noted["kind"] == "train")


def test_an_absurd_one_ends_with_a_message_in_place_of_a_model_resumed_or_not(train, tmp_path, capsys):
    with pytest.raises(ValueError, match="has come apart: the supervised loss is") as stopped:
        train("weight=1000")
    run, step = capsys.readouterr(), int(str(stopped.value).split()[1].rstrip(":"))
    assert "warning: the adversarial gradient is" in run.err
    assert "best.pt has the weights that were best in validation" in str(stopped.value) and "another --out" in str(
        stopped.value
    )
    with pytest.raises(ValueError, match="has come apart") as again:
        train("weight=1000", resume=True)
    assert str(again.value) == str(stopped.value), "as if nothing had happened"
    folder = tmp_path / "run"
    assert not (folder / "result.json").exists()
    assert checkpoint.load(folder / "last.pt")["step"] == step // 20 * 20 < step
