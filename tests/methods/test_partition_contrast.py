import inspect

from halfmask.methods.pretraining.comparative import Comparative
from halfmask.methods.pretraining.partition_contrast import PartitionContrast


def test_it_differs_from_its_rival_by_the_objective_alone():
    """Its loss, stages and errors are put to the same tests in test_comparative.py."""
    assert PartitionContrast.step is Comparative.step and PartitionContrast.recipe is Comparative.recipe
    assert PartitionContrast.objective is not Comparative.objective
    ours, theirs = (inspect.signature(kind).parameters for kind in (PartitionContrast, Comparative))
    assert set(theirs) - set(ours) == {"pairs"}
    assert all(ours[name].default == theirs[name].default for name in ours)
