import torch

from halfmask.augment.tokens import masked_tokens, normalized_tokens, token_sides


def test_tokens_divide_the_patch_and_leave_four_an_axis():
    assert token_sides((96, 160, 64)) == (16, 16, 16)
    assert token_sides((16, 40, 56)) == (4, 8, 8)
    assert token_sides((2, 18, 256)) == (1, 2, 16)


def test_as_many_whole_tokens_are_masked_in_each_image():
    mask = masked_tokens(torch.zeros(200, 2, 8, 18), (2, 3), 0.75)
    assert mask.shape == (200, 1, 8, 18)
    tokens = mask.view(200, 4, 2, 6, 3)
    whole = tokens[:, :, 0, :, 0]
    assert torch.equal(tokens, whole[:, :, None, :, None].expand_as(tokens))
    assert (whole.flatten(1).sum(1) == 18).all()
    assert (whole.float().mean(0) - 0.75).abs().max() < 0.12
    assert len({tuple(each.flatten().tolist()) for each in whole}) > 190
    for share, count in ((0.0, 1), (1.0, 7)):
        assert (masked_tokens(torch.zeros(3, 1, 4, 8), (2, 2), share).sum((1, 2, 3)) == 4 * count).all()


def test_tokens_are_normalized_each_by_itself():
    image = torch.randn(2, 3, 4, 6, 8) * torch.rand(2, 3, 1, 1, 1) + torch.randn(2, 3, 4, 6, 8).cumsum(4)
    image[0, 1, :2, :3, :2] = 5.0
    found = normalized_tokens(image, (2, 3, 2))
    for b in range(2):
        for c in range(3):
            for i in range(0, 4, 2):
                for j in range(0, 6, 3):
                    for k in range(0, 8, 2):
                        box = (b, c, slice(i, i + 2), slice(j, j + 3), slice(k, k + 2))
                        token = image[box]
                        slow = (token - token.mean()) / (token.var(correction=0) + 1e-6).sqrt()
                        torch.testing.assert_close(found[box], slow)
