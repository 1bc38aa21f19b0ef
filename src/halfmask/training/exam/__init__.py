"""What a training looks at besides its losses, by what it is to give."""

from __future__ import annotations

from typing import Any

from halfmask.learning.method import Classifier, Clusterer, Pretrainer, Segmenter
from halfmask.training.exam.classification import Classification
from halfmask.training.exam.clusters import Clusters
from halfmask.training.exam.features import Features
from halfmask.training.exam.grade import Exam
from halfmask.training.exam.segmentation import Segmentation

EXAMS: dict[type, Any] = {
    Segmenter: Segmentation, Classifier: Classification, Pretrainer: Features, Clusterer: Clusters,
}  # fmt: skip


def make_exam(method: Any, *given: Any) -> Exam:
    """The exam for a method; ``given`` as their constructors take it."""
    return next(exam for kind, exam in EXAMS.items() if isinstance(method, kind))(method, *given)
