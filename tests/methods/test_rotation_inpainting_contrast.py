import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from halfmask import testing
from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.losses.contrastive import subject_contrast
from halfmask.methods.pretraining.rotation_inpainting_contrast import RotationInpaintingContrast


def made(builder=None, **settings):
    torch.manual_seed(0)
    return testing.arranged(RotationInpaintingContrast(builder or testing.small(2, norm="instance"), **settings))


def figures(method, batch):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(1, 10))
    return minimize.figures


def spied(method):
    """What the views of a step were."""
    seen, views = [], method._views
    method._views = lambda image: seen.append(views(image)) or seen[-1]
    return seen


def test_three_heads_see_what_they_are_to_see():
    method = made(rotation=0.5, inpainting=2.0, contrast=0.25, temperature=0.3)
    twin, batch, seen = copy.deepcopy(method), testing.batch_for(method, 2), spied(method)
    found = figures(method, batch)
    ((views, whole, which),) = seen
    assert views.shape == (8, 2, 16, 16) and len(which) == 8
    for i, image in enumerate(batch.unlabeled.image):  # its two views keep its extremes
        for each in whole[i], whole[i + 4]:
            torch.testing.assert_close(each.aminmax(), image.aminmax())
    vectors, inpainting = [], 0.0
    with torch.no_grad():
        for view, truth in zip(views, whole, strict=True):
            features = twin.student.encode(view[None])[-1]
            inpainting += (twin.reconstruction(features)[0] - truth).abs().mean().item() / 8
            vectors.append(features.mean((2, 3)))
        vectors = torch.cat(vectors)
        vectors = (vectors - vectors.mean(0)) / (vectors.var(0, correction=0) + 1e-5).sqrt()
        rotation = F.cross_entropy(twin.classifier(vectors), which).item()
        one, other = twin.projection(vectors).chunk(2)
        contrast = subject_contrast(one, other, batch.unlabeled.case, 0.3)
    assert found["rotation"].item() == pytest.approx(0.5 * rotation, rel=1e-4)
    assert found["inpainting"].item() == pytest.approx(2 * inpainting, rel=1e-4)
    assert found["contrast"].item() == pytest.approx(0.25 * contrast.item(), rel=1e-4)


def test_what_is_reconstructed_is_turned_and_shifted_and_whole():
    method = made()
    image = testing.batch_for(method, 2).unlabeled.image
    views, whole, which = method._views(image)
    assert len(set(which.tolist())) > 1
    for i in range(len(image)):
        turned = method.turns.each[which[i]](image[i])
        for c in range(2):  # a rising line keeps the order of intensities, least and greatest
            order = turned[c].flatten().argsort()
            assert (whole[i, c].flatten()[order].diff() >= -1e-5).all()
            torch.testing.assert_close(whole[i, c].aminmax(), turned[c].aminmax())
            assert not torch.allclose(whole[i, c], turned[c], atol=1e-3)
    same = (views == whole).all(1).flatten(1).float().mean(1)
    assert (same > 0.7).all() and (same < 1).all()


def test_the_contrast_asks_for_two_subjects():
    method, batch = made(), testing.batch_for(made(), 2)
    alone = lambda images: Batch(batch.labeled, images)
    unlabeled = batch.unlabeled
    with pytest.raises(ValueError, match="--batch 2"):
        figures(method, alone(dataclasses.replace(unlabeled, image=unlabeled.image[:1], case=unlabeled.case[:1])))
    with pytest.raises(ValueError, match=r"between subjects.*case 0"):
        method.begin({"case 0": (16, 16, 16)})
    once = figures(method, alone(dataclasses.replace(unlabeled, case=torch.zeros(4, dtype=torch.long))))
    assert once["contrast"] == 0 and once["rotation"] > 0  # by chance, which is to stop nothing


def test_it_is_judged_by_what_it_inpaints():
    method, seen = made(inpainting=3.0).eval(), None
    image, seen = testing.batch_for(method, 2).unlabeled.image, spied(method)
    with torch.no_grad():
        loss = method.judge(image)
        ((view, whole, _),) = seen
        said = method.reconstruction(method.student.encode(view)[-1])
    assert loss.item() == pytest.approx((said - whole).abs().mean().item(), rel=1e-5)


def test_thick_slices_turn_within_themselves():
    builder = dataclasses.replace(testing.small(3), spacing=(5.0, 1.0, 1.0))
    turns = made(builder).turns
    assert len(turns) == 4 and all(each.axes[0] == 0 and 0 not in each.flipped for each in turns.each)
