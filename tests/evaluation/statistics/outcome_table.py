"""Long tables of made-up studies."""

import numpy as np
import pandas as pd


def row(dice, *, arm="supervised", labels=3, slices=1.0, fold=0, draw=0, seed=0, group="p0", case=None, structure="LV"):
    """One row; a case of its own group unless told."""
    budget = f"{labels} labels" if slices == 1 else f"{100 * slices:.0f} % of slices"
    return {
        "arm": arm, "budget": budget, "labels": labels, "slices": slices, "fold": fold, "draw": draw, "seed": seed,
        "run": f"{arm}-{budget}-{fold}-{draw}-{seed}", "group": group, "case": case or f"{group}_ED",
        "structure": structure, "dice": dice, "hd95": 10 * (1 - dice),
    }  # fmt: skip


def study(dice, **told):
    """The table of ``{arm: (units, draws) Dice}`` at one budget, each draw with its own seed."""
    return pd.DataFrame(
        [
            row(value, arm=arm, draw=draw, seed=draw, group=f"p{unit}", **told)
            for arm, values in dice.items()
            for unit, by_draw in enumerate(np.asarray(values, float).reshape(len(values), -1))
            for draw, value in enumerate(by_draw)
        ]
    )


def curves(laws, budgets, *, units=8, draws=1, between=0.03, noise=0.0, seed=0):
    """The table of ``{arm: law of the number of labels}``, with easy and hard patients and noise."""
    rng = np.random.default_rng(seed)
    patient = rng.normal(0, between, (units, 1))
    patient -= patient.mean()
    tables = [
        study({arm: law(n) + patient + rng.normal(0, noise, (units, draws))}, labels=n)
        for arm, law in laws.items()
        for n in budgets
    ]
    return pd.concat(tables, ignore_index=True)
