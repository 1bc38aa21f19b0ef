"""The verbs: one public function each, with the arguments of the command line.

Heavy packages are imported inside the functions, so that ``--help`` answers at once.
"""

from halfmask.verbs.brains import brain
from halfmask.verbs.dataset import check, prepare
from halfmask.verbs.demonstration import demo
from halfmask.verbs.pretraining import pretrain
from halfmask.verbs.public import get_data, list_data
from halfmask.verbs.results import evaluate, predict, report
from halfmask.verbs.studies import study
from halfmask.verbs.training import methods, train

__all__ = [
    "brain", "check", "demo", "evaluate", "get_data", "list_data", "methods", "predict", "prepare", "pretrain",
    "report", "study", "train",
]  # fmt: skip
