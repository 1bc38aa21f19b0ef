import numpy as np
from entries import entry

from halfmask.report.curves import POINTS, curve_plot, curve_plots, figures, line_of, pseudo_figures


def told(name, **journal):
    made = entry(name, [0.5])
    made.journal = [{"step": n, "kind": "train", "seconds": 1.0, **{k: v[n] for k, v in journal.items()}}
                    for n in range(len(next(iter(journal.values()))))]  # fmt: skip
    return made


def test_what_was_noted_is_found_the_important_first():
    a = told("a", kept=[0.1, 0.2], supervised=[1.0, 0.5])
    a.journal.append({"step": 1, "kind": "validation", "dice lesion": 0.5, "dice mean": 0.5})
    assert figures([a, told("b", cross=[1.0])]) == ["dice mean", "supervised", "kept", "cross"]


def test_the_domains_of_the_validation_cases_follow_their_mean():
    a = told("a", supervised=[1.0])
    a.journal.append({"step": 0, "kind": "validation", "dice lesion": 0.5, "dice mean": 0.5, "dice mean 3T": 0.4})
    assert figures([told("b", kept=[0.1]), a]) == ["dice mean", "dice mean 3T", "supervised", "kept"]
    plot = str(curve_plots([a], {"a": "s0 d0"}))
    assert "dice mean 3T: mean Dice on the validation cases of the domain 3T" in plot
    assert "dice lesion" not in plot


def test_pseudo_labels_have_plots_of_their_own():
    a = told("a", pseudo=[0.1, 0.2])
    a.journal.append({"step": 1, "kind": "pseudo-labels", "pseudo share RV": 0.1, "pseudo dice RV": None})
    assert figures([a]) == ["pseudo"]
    assert pseudo_figures([a]) == {"share": ["pseudo share RV"], "dice": ["pseudo dice RV"]}


def test_of_an_adversarial_training_the_critic_and_the_ratio_of_gradients_are_shown():
    run = told("a", adversarial=[0.1], **{"gradient ratio": [0.2], "gradient critic": [9.0], "told_apart": [0.6]})
    assert figures([run]) == ["told_apart", "gradient ratio", "adversarial"]


def test_a_line_is_its_figures_and_gaps_are_left_out():
    steps, values = line_of(told("a", loss=[1.0, None, 3.0]).journal, "loss")
    assert (list(steps), list(values)) == ([1, 3], [1, 3])
    steps, values = line_of(told("a", loss=list(np.linspace(0, 1, 5000))).journal, "loss")
    assert len(steps) == POINTS
    assert np.allclose(values.mean(), 0.5), "a long run is averaged, not picked from"


def test_only_runs_that_have_it_are_drawn():
    runs = [told("a", kept=[0.5] * 4), told("b <2>", loss=[1.0] * 3)]
    styles = {"a": "s0 d0", "b <2>": "s1 d1"}
    plot = curve_plot("loss", runs, styles)
    assert plot.count('class="s1 d1"') == 2
    assert "s0" not in plot
    assert "b &lt;2&gt;" in plot
    assert curve_plot("nothing", runs, styles) is None
