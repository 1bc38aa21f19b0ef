"""What holds for every method, as functions that a method's author can call.

Each check takes ``make``, a function from a network builder to a method, so that a faulty copy of a
method can be put to the same checks: tests/methods/test_mutants.py does, and expects them to fail.
"""

from halfmask.testing.checks import (
    CHECKS,
    Watch,
    check_halves,
    check_losses_pull_and_state_moves,
    check_networks_are_apart,
    check_prediction,
    check_reproducible,
    check_says_where_it_comes_from,
    check_unannotated,
)
from halfmask.testing.classification import CLASSIFICATION_CHECKS
from halfmask.testing.clustering import CLUSTERING_CHECKS, check_clusters
from halfmask.testing.given import (
    CASES,
    CHANNELS,
    CLASSES,
    MEMBERS,
    SIDE,
    arranged,
    batch_for,
    begun,
    counted,
    minimizer,
    small,
    some_batch,
    some_images,
    swept,
)
from halfmask.testing.pretraining import PRETRAINING_CHECKS, check_judges, check_keeps

__all__ = [
    "CASES",
    "CHANNELS",
    "CHECKS",
    "CLASSES",
    "CLASSIFICATION_CHECKS",
    "CLUSTERING_CHECKS",
    "MEMBERS",
    "PRETRAINING_CHECKS",
    "SIDE",
    "Watch",
    "arranged",
    "batch_for",
    "begun",
    "check_clusters",
    "check_halves",
    "check_judges",
    "check_keeps",
    "check_losses_pull_and_state_moves",
    "check_networks_are_apart",
    "check_prediction",
    "check_reproducible",
    "check_says_where_it_comes_from",
    "check_unannotated",
    "counted",
    "minimizer",
    "small",
    "some_batch",
    "some_images",
    "swept",
]
