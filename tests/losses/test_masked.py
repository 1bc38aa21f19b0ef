import pytest
import torch

from halfmask.losses.masked import masked_mse


def test_masked_voxels_alone_count_each_as_much():
    image, target = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    mask = torch.rand(2, 1, 4, 5) < 0.4
    mask[0] = False
    mask[0, 0, 1, 2] = True
    total, count = 0.0, 0
    for b, _, i, j in mask.nonzero().tolist():
        for c in range(3):
            total += float(image[b, c, i, j] - target[b, c, i, j]) ** 2
            count += 1
    loss = masked_mse(image, target, mask)
    assert loss.item() == pytest.approx(total / count, rel=1e-5)
    assert masked_mse(image + 9 * ~mask, target, mask).equal(loss)
    assert masked_mse(image.bfloat16(), target, mask).dtype == torch.float32
