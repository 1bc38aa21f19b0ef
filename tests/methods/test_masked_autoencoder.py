import dataclasses

import pytest
import torch

from halfmask import testing
from halfmask.augment.tokens import normalized_tokens
from halfmask.learning.clock import Clock
from halfmask.methods.pretraining.masked_autoencoder import MaskedAutoencoder


def made(dims=2, builder=None, **settings):
    torch.manual_seed(0)
    return testing.arranged(MaskedAutoencoder(builder or testing.small(dims, norm="instance"), **settings))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_loss_is_a_loop_over_masked_voxels(dims, normalize):
    method, given = made(dims, normalize=normalize).eval(), []
    method.student.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    image = testing.batch_for(method, dims).unlabeled.image
    with torch.no_grad():
        loss = method.judge(image)
        (seen,) = given
        said = method.student(seen)
    target = normalized_tokens(image, method.token) if normalize else image
    hidden = (seen != image).all(1)
    assert not seen.movedim(1, -1)[hidden].any()
    assert torch.equal(seen.movedim(1, -1)[~hidden], image.movedim(1, -1)[~hidden])
    assert (hidden.flatten(1).sum(1) == 0.75 * hidden[0].numel()).all()
    total = 0.0
    for b in range(len(image)):
        for c in range(image.shape[1]):
            total += (said[b, c] - target[b, c])[hidden[b]].square().sum().item()
    assert loss.item() == pytest.approx(total / (2 * int(hidden.sum())), rel=1e-4)


def test_a_step_minimizes_it_on_images_that_are_mirrored_where_they_may_be():
    builder = dataclasses.replace(testing.small(2), flips=(False, True))
    method, given = made(builder=builder, masked=0.1), []
    method.student.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    batch = testing.batch_for(method, 2)
    rows = lambda x: x.abs().sum((1, 3))
    for step in range(6):
        method.step(batch, testing.minimizer(method), Clock(step, 10))
    for seen in given:
        near = lambda image, seen=seen: (image == seen).float().flatten(1).mean(1) > 0.8
        straight, mirrored = near(batch.unlabeled.image), near(batch.unlabeled.image.flip(3))
        assert (straight ^ mirrored).all()
        assert rows(seen).shape == (4, 16)
    assert any((image == seen[0]).float().mean() > 0.8 for seen in given for image in batch.unlabeled.image.flip(3))


def test_it_makes_images_and_keeps_all_but_its_head():
    method = made()
    assert method.student(torch.randn(2, 2, 16, 16)).shape == (2, 2, 16, 16)
    assert method.keeps == {"student": ("encoder", "decoder")}


def test_tokens_that_do_not_fit_are_refused():
    assert made(token=(2,)).token == (2, 2) and made(token=(2, 8)).token == (2, 8)
    for token, words in (((3,), "4×4 would"), ((2, 2, 2), "do not divide"), ((16,), "one token")):
        with pytest.raises(ValueError, match=words):
            made(token=token)
