import pytest

from halfmask.training.validation import validated


@pytest.mark.parametrize(("orientation", "most"), [("SPL", 10), (None, 100)])
def test_a_part_of_a_large_fold_is_validated_on_evenly(prepared, orientation, most):
    plan = prepared(2).plan.model_copy(update={"orientation": orientation})
    few, many = [f"case {n}" for n in range(most)], [f"case {n}" for n in range(25 * most + 3)]
    assert validated(few, plan) == few
    found = validated(many, plan)
    assert most / 2 < len(found) <= most and found[0] == many[0] and many.index(found[-1]) > 20 * most
    assert validated([], plan) == []
