import numpy as np
import pandas as pd
from outcome_table import row

from halfmask.evaluation.statistics.aligned import Aligned
from halfmask.evaluation.statistics.outcomes import case_results


def by_hand(ours, theirs):
    """Plain loops over the keys (fold, draw, seed, group, case)."""
    runs = [{key[:3] for key in found.index} for found in (ours, theirs)]
    keys = [key for key in {*ours.index, *theirs.index} if key[:3] in runs[0] & runs[1]]
    return {key: (ours.get(key, np.nan), theirs.get(key, np.nan)) for key in keys}, len(runs[0] ^ runs[1])


def test_pairs_are_those_of_plain_loops_whatever_is_missing():
    rng = np.random.default_rng(0)
    rows = [
        row(rng.choice([np.nan, 0.5, 0.7]), arm=arm, group=f"p{unit}", fold=unit % 2, draw=draw, seed=draw)
        for arm in "abc" for unit in range(6) for draw in range(4)
        if rng.random() < 0.6 and (arm, draw) != ("c", 3)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    results = {a: case_results(table, arm=a, budget="3 labels", metric="dice", structure=None) for a in "abc"}
    results["none"] = case_results(table, arm="none", budget="3 labels", metric="dice", structure=None)
    aligned = Aligned(results)
    for arm, rival in (("a", "b"), ("b", "c"), ("c", "a"), ("a", "a"), ("a", "none")):
        pairs, unpaired = by_hand(results[arm], results[rival])
        found = aligned.pair(arm, rival)
        assert aligned.unpaired(arm, rival) == unpaired
        assert set(found.index) == set(pairs)
        for key, values in pairs.items():
            np.testing.assert_array_equal(found.loc[key].to_numpy(float), values)
