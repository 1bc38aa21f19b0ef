import math

import pytest
import torch

from halfmask.losses.contrastive import nt_xent


def test_nt_xent_is_the_paper_s_formula():
    torch.manual_seed(0)
    one, other, temperature = torch.randn(4, 5), torch.randn(4, 5), 0.3
    views = [*one, *other]
    total = 0.0
    for i in range(8):
        similarity = [torch.cosine_similarity(views[i], v, 0).item() / temperature for v in views]
        total -= math.log(
            math.exp(similarity[(i + 4) % 8]) / sum(math.exp(s) for j, s in enumerate(similarity) if j != i)
        )
    assert nt_xent(one, other, temperature).item() == pytest.approx(total / 8, rel=1e-5)


def test_nt_xent_of_equal_views_and_opposed_images_is_small():
    one = torch.eye(6)
    assert nt_xent(one, one, 0.05) < 1e-6 < nt_xent(one, one.roll(1, 0), 0.05)
    assert nt_xent(one.bfloat16(), one.bfloat16(), 0.05).dtype == torch.float32
