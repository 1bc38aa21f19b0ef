import copy

import torch

from halfmask.networks.heads import PrototypeHead, standardized


def test_it_gives_cosines_with_prototypes():
    torch.manual_seed(0)
    head, x = PrototypeHead(6, 8, 5, 7), 3 + torch.randn(4, 6)
    seen = head(x)
    z = head.layers(standardized(x))
    for image in range(4):
        for k in range(7):
            torch.testing.assert_close(seen[image, k], torch.cosine_similarity(z[image], head.prototypes[k], 0))
    longer = copy.deepcopy(head)
    longer.prototypes.data *= torch.rand(7, 1) + 0.5
    torch.testing.assert_close(longer(x), seen)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(x).dtype == torch.float32


def test_what_all_images_have_in_common_is_left_out():
    torch.manual_seed(0)
    head, x = PrototypeHead(6, 8, 5, 7), torch.randn(4, 6)
    torch.testing.assert_close(head(2 * x + 100), head(x), atol=1e-3, rtol=0)
    torch.testing.assert_close(standardized(x).mean(0), torch.zeros(6), atol=1e-6, rtol=0)
    torch.testing.assert_close(standardized(x).var(0, correction=0), torch.ones(6), atol=1e-3, rtol=0)


def test_frozen_prototypes_get_no_gradient():
    torch.manual_seed(0)
    head, x = PrototypeHead(6, 8, 5, 7), torch.randn(4, 6)
    head(x, frozen=True).square().sum().backward()
    assert head.prototypes.grad is None and head.layers[0].weight.grad.any()
    head(x).square().sum().backward()
    assert head.prototypes.grad.any()
