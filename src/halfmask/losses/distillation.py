"""A student is to say of one view of an image what a teacher says of another."""

from __future__ import annotations

from torch import Tensor

from halfmask.losses.segmentation import precise


def sharpened(logits: Tensor, center: Tensor, temperature: float) -> Tensor:
    """The teacher's probabilities (…, K) of logits (…, K), centered and sharpened, float32; no gradient.

    Caron et al., DINO, ICCV 2021, arXiv:2104.14294, Eqs. 1 and 4. What all images have in common is in the center,
    so a teacher that says the same of all says nothing; the temperature keeps it from saying nothing of all.
    """
    return ((precise(logits.detach()) - center) / temperature).softmax(-1)


def cross_view(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of each view's student against each *other* view's teacher. DINO, Eq. 3.

    Args:
        student: logits (S, B, K) of S views of B images.
        teacher: probabilities (T, B, K) of the first T of them; no gradient.
        temperature: the student's.
    """
    views, (seen, images, _) = len(student), teacher.shape
    assert views >= seen and views > 1, f"{views} views of the student, {seen} of the teacher"
    target = teacher.detach().sum(0).repeat(views, 1, 1)
    target[:seen] -= teacher.detach()
    told = (precise(student) / temperature).log_softmax(-1)
    return -(target * told).sum() / (images * seen * (views - 1))
