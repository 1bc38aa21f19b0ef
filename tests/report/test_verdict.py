from entries import entry, spread

from halfmask.report.groups import grouped
from halfmask.report.verdict import verdict


def said(*entries):
    return verdict(grouped(entries))


def test_better():
    text = said(entry("supervised", spread(0.7)), entry("fixmatch", spread(0.75)), entry("mt", spread(0.72)))
    assert text.startswith(
        "fixmatch did best, with a mean Dice of 0.750: 5.0 points above supervised training with the same labels "
        "(0.700), better on 12 of 12 cases (Wilcoxon signed-rank, p < 0.001)."
    )
    assert "in this one draw of labels and weights (seed 0); other draws may differ." in text


def test_better_by_what_may_be_chance():
    text = said(entry("supervised", spread(0.7)), entry("fixmatch", spread(0.701, seed=1)))
    assert text.startswith("fixmatch did best")
    assert "a difference that chance may explain" in text
    assert "too few cases for a test" in said(entry("supervised", [0.5]), entry("fixmatch", [0.6]))


def test_not_better():
    text = said(entry("supervised", spread(0.75)), entry("fixmatch", spread(0.7)), entry("mt", spread(0.72)))
    assert text.startswith("None of 2 methods was better than supervised training with the same labels, which reached")
    assert "The nearest, mt, reached 3.0 points less (0.720), better on 0 of 12 cases" in text
    alone = said(entry("supervised", spread(0.75)), entry("fixmatch", spread(0.7)))
    assert alone.startswith("fixmatch was not better than supervised training")
    assert "It reached 5.0 points less" in alone
    assert "just as much" in said(entry("supervised", spread(0.7)), entry("fixmatch", spread(0.7)))


def test_one_run_and_none():
    assert said(entry("fixmatch", [0.5, 0.7])) == (
        "fixmatch reached a mean Dice of 0.600 ± 0.141 on 2 cases. There is no other method here to compare it with."
    )
    assert "on 1 case." in said(entry("fixmatch", [0.5]))
    assert said().startswith("Nothing was measured")


def test_no_supervised():
    text = said(entry("fixmatch", spread(0.75)), entry("mt", spread(0.72)))
    assert text.startswith("fixmatch has the highest mean Dice, 0.750: 3.0 points above mt")
    assert "nothing can be said of what the unlabeled images gained" in text
    apart = said(entry("fixmatch", spread(0.75)), entry("mt", spread(0.72), seed=1))
    assert "different draws, so this is no test" in apart


def test_several_draws_and_what_is_not_fair():
    two = [entry(f"{m}-{s}", spread(d), method=m, seed=s) for m, d in (("supervised", 0.7), ("f", 0.8)) for s in (0, 1)]
    assert "over 2 draws (seeds 0, 1)" in said(*two)
    longer = said(entry("supervised", spread(0.7)), entry("f", spread(0.8), recipe={"steps": 500}))
    assert "Not quite like for like: f had 500 steps, supervised 100." in longer
