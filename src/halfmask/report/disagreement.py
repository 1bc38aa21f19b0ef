"""Pictures of the cases on which the arms of a study differ most."""

from __future__ import annotations

import pandas as pd

from halfmask.evaluation.statistics.outcomes import case_results
from halfmask.report.cases import cases_section, legend, shown
from halfmask.report.gather import Entry, read_entry
from halfmask.report.markup import Markup, join, tag
from halfmask.report.pictures import case_pictures
from halfmask.report.study import Study

CASES = 3


def disagreement_section(study: Study) -> Markup | None:
    """The cases with the widest spread of Dice between arms, at the smallest budget and its first draw."""
    budget = fewest_labels(study)
    if budget is None:
        return None
    rows = first_draw(study.table[study.table["budget"] == budget])
    dice = by_arm(rows, budget)
    if len(dice.columns) < 2:
        entry = entry_of(study, str(rows["arm"].iloc[0]), str(rows["run"].iloc[0]))
        return cases_section([entry]) if entry.table is not None else None
    parts = [
        tag("p", f"With {budget}, the cases on which the arms' mean Dice lies farthest apart, each arm by its first "
            "run, from the lowest Dice to the highest; the planes are those with most errors of the lowest. In each "
            "pair the whole is left, and what is framed in it right. In scans anterior or superior is up, and the "
            "patient's right is on the left."),
        legend(),
    ]  # fmt: skip
    for n, case in enumerate(widest(dice)):
        figures = pd.Series(dice.loc[case]).dropna().sort_values(kind="stable")
        parts.append(tag("h3", f"{case}: Dice {figures.iloc[0]:.3f} to {figures.iloc[-1]:.3f}"))
        made = rows[rows["case"] == case].drop_duplicates("arm").set_index("arm")["run"]
        entries = [entry_of(study, arm, made[arm]) for arm in figures.index]
        try:
            pictures = case_pictures(case, entries, f"c{n}")
        except (ValueError, OSError) as e:
            parts.append(tag("p", f"No pictures of this case: {e}.", class_="note"))
            continue
        parts.append(shown(case, pictures, {str(arm): float(value) for arm, value in figures.items()}))
    return join(parts)


def fewest_labels(study: Study) -> str | None:
    """Of the budgets that most arms have figures at, the smallest; None if nothing was measured."""
    if study.table.empty:
        return None
    arms = study.table.groupby("budget")["arm"].nunique()
    most = [b for b in study.by_size() if arms[b] == arms.max()]
    return most[0]


def first_draw(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the pairs of draw and seed that most arms have, the first; its rows of every fold."""
    arms = rows.groupby(["draw", "seed"])["arm"].nunique()
    draw, seed = arms[arms == arms.max()].index[0]
    return rows[(rows["draw"] == draw) & (rows["seed"] == seed)]


def by_arm(rows: pd.DataFrame, budget: str) -> pd.DataFrame:
    """Mean Dice over the structures: cases down, arms across; arms in the rows' order."""
    figures = {
        arm: case_results(rows, arm=arm, budget=budget, metric="dice", structure=None) for arm in rows["arm"].unique()
    }
    return pd.concat({arm: found.groupby("case").mean() for arm, found in figures.items()}, axis=1)


def widest(dice: pd.DataFrame) -> list[str]:
    """The cases with the largest difference between the highest and the lowest arm; cases that two arms have."""
    spread = (dice.max(axis=1) - dice.min(axis=1))[dice.count(axis=1) > 1]
    return [str(case) for case in spread.sort_values(ascending=False, kind="stable").index[:CASES]]


def entry_of(study: Study, title: str, run: str) -> Entry:
    """A run of a study under the name of its arm."""
    folder = study.folder / "runs" / run
    return read_entry(title, folder if (folder / "run.yaml").is_file() else folder / "masks")  # another's training
