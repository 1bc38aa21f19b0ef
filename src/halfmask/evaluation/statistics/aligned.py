"""Several arms side by side, so that any two can be paired by run and case."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from halfmask.evaluation.statistics.outcomes import CASE


class Aligned:
    """The results of some arms at one budget.

    Args:
        results: by arm, as `outcomes.case_results` gives them.
    """

    def __init__(self, results: Mapping[str, pd.Series]):
        self._wide = pd.concat(results, axis=1)
        self._rows = {arm: self._wide.index.isin(found.index) for arm, found in results.items()}
        runs, names = pd.factorize(self._wide.reset_index(CASE, drop=True).index)
        self._run = np.asarray(runs)
        self._has = {arm: np.bincount(self._run[rows], minlength=len(names)) > 0 for arm, rows in self._rows.items()}

    def pair(self, arm: str, rival: str) -> pd.DataFrame:
        """Columns ``arm`` and ``rival``, a row a case and run, of the runs that both have; NaN where one lacks it."""
        shared = (self._has[arm] & self._has[rival])[self._run]
        rows = shared & (self._rows[arm] | self._rows[rival])
        return self._wide.loc[rows, [arm, rival]].set_axis(["arm", "rival"], axis=1)

    def unpaired(self, arm: str, rival: str) -> int:
        """How many runs only one of the two has."""
        return int((self._has[arm] ^ self._has[rival]).sum())
