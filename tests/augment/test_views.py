"""The policies give patches of the right shape, from crops of the right size, and do what the plan allows."""

import pytest
import torch

from halfmask.augment.geometry import Geometry
from halfmask.augment.mixing import CutMix, Mixup, PatchSwap
from halfmask.augment.space import Space
from halfmask.augment.spline import spline
from halfmask.augment.views import Augmentation, strong
from halfmask.data.batch import IGNORE, Images

PLANS = [
    Augmentation((24, 20), Space((1.0, 1.0), (True, True))),
    Augmentation((16, 14, 12), Space((1.0, 1.2, 1.0), (True, True, False)), elastic=0.8),
    Augmentation((6, 20, 20), Space((8.0, 1.0, 1.0), (False, True, True))),
]


def crops(plan, batch=4, channels=2):
    """Smooth images whose label is the sign of their first channel."""
    image = 2 * spline(torch.randn(batch, channels, *[5] * len(plan.patch)), plan.margin())
    return Images(image, (image[:, 0] > 0).long(), torch.arange(batch))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("view", ["weak", "labeled"])
def test_views_have_the_patch_shape_and_keep_image_and_label_together(plan, view):
    images = crops(plan, batch=64)
    out = getattr(plan, view)(images)
    assert out.image.shape == (64, 2, *plan.patch)
    assert out.image.dtype == torch.float32
    assert out.image.isfinite().all()
    assert out.label.shape == (64, *plan.patch)
    assert out.label.dtype == torch.int64
    assert set(out.label.unique().tolist()) <= {0, 1, IGNORE}
    assert torch.equal(out.case, images.case)
    known = out.label != IGNORE
    assert known.float().mean() > 0.9
    assert ((out.image[:, 0] > 0) == out.label)[known].float().mean() > 0.9
    unlabeled = getattr(plan, view)(images.with_(label=None))
    assert unlabeled.label is None
    assert unlabeled.image.shape == out.image.shape


def test_margins_are_modest_and_none_across_thick_slices():
    assert PLANS[2].margin() == (6, 24, 24)
    assert PLANS[2].space.free == (False, True, True)
    assert Augmentation((96, 96, 96), Space((1, 1, 1), (True,) * 3)).margin() == (112, 112, 112)
    assert Augmentation((96, 96), Space((1, 1), (True,) * 2), enabled=False).margin() == (96, 96)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_switched_off_it_cuts_out_the_center(plan):
    off = Augmentation(plan.patch, plan.space, enabled=False)
    images = crops(plan)
    center = Geometry.draw(images.image, plan.patch)
    for view in (off.weak, off.labeled):
        assert torch.equal(view(images).image, center.image(images.image))
        assert torch.equal(view(images).label, center.label(images.label))


@pytest.mark.parametrize("view", ["weak", "labeled"])
@pytest.mark.parametrize(("plan", "axis"), [(PLANS[1], 2), (PLANS[2], 0)])
def test_no_flips_that_the_plan_forbids(plan, axis, view):
    ramp = torch.linspace(-1, 1, plan.margin()[axis]).view([-1 if i == axis else 1 for i in range(3)])
    ramp = ramp.expand(100, 1, *plan.margin())
    out = getattr(plan, view)(Images(ramp, None, torch.arange(100))).image[:, 0]
    middle = out[:, *(slice(n // 2 - 2, n // 2 + 2) for n in plan.patch)]
    assert (middle.diff(dim=axis + 1).mean((1, 2, 3)) > 0).all()


def test_thick_slices_do_not_mix():
    plan = PLANS[2]
    ramp = torch.arange(6.0).view(-1, 1, 1).expand(100, 1, *plan.margin())
    out = plan.weak(Images(ramp, None, torch.arange(100))).image
    assert out[..., 8:12, 8:12].allclose(ramp[..., 8:12, 8:12], atol=1e-4)


def test_weak_views_change_no_intensities_and_labeled_ones_do():
    plan = PLANS[0]
    flat = Images(torch.ones(64, 1, 24, 20), None, torch.arange(64))
    inside = plan.weak(flat).image[:, :, 8:16, 8:12]
    torch.testing.assert_close(inside, torch.ones_like(inside), atol=1e-4, rtol=0)
    assert (plan.labeled(flat).image[:, :, 8:16, 8:12] - 1).abs().max() > 0.05


@pytest.mark.parametrize("shape", [(24, 20), (16, 14, 12)])
def test_the_strong_view_is_strong_and_stays_in_place(shape):
    x = spline(torch.randn(32, 1, *[6] * len(shape)), shape)
    x = x / x.std()
    out = strong(x)
    assert out.isfinite().all()
    assert (out != x).flatten(1).any(1).float().mean() > 0.9
    assert (out - x).std() > 0.3
    pair = torch.stack([x.flatten(1), out.flatten(1)], 1)
    pair = pair - pair.mean(-1, keepdim=True)
    correlation = (pair[:, 0] * pair[:, 1]).sum(1) / pair.norm(dim=-1).prod(1)
    assert correlation.mean() > 0.9  # light stays light where it was
    holes = strong(x, holes=True)
    assert holes.shape == x.shape


def test_the_seed_decides():
    images = crops(PLANS[1])
    views = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        views.append(strong(PLANS[1].labeled(images).image, holes=True))
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_nothing_waits_for_the_device(plan):
    # Tensors on "meta" have no values: to ask for one, or to mix devices, is an error.
    image = torch.empty(16, 2, *plan.margin(), device="meta")
    images = Images(image, torch.empty(16, *plan.margin(), dtype=torch.int64, device="meta"), torch.arange(16))
    out = plan.labeled(plan.weak(images).with_(image=image, label=None))
    assert out.image.shape == (16, 2, *plan.patch)
    assert strong(image, holes=True).device.type == "meta"
    geometry = Geometry.draw(image, flips=plan.space.flips, rotation=0.5, elastic=0.4, p_rotation=0.5, p_elastic=0.5)
    assert geometry.inverse().image(geometry.image(image)).shape == image.shape
    for mixing in (CutMix, PatchSwap, Mixup):
        assert mixing.draw(image)(image).shape == image.shape


def test_small_crops_and_ill_fitting_facts_are_refused():
    with pytest.raises(ValueError, match="cannot give patches"):
        PLANS[0].weak(Images(torch.zeros(1, 1, 24, 19), None, torch.zeros(1)))
    with pytest.raises(ValueError, match="one entry per axis"):
        Augmentation((8, 8), Space((1.0,) * 3, (True, True, True)))


@pytest.mark.parametrize("plan", [PLANS[0], PLANS[2]], ids=["2d", "thick slices"])
def test_a_view_knows_where_it_lies_in_its_case(plan):
    """Of an image that holds its own coordinates, the weak view's values are the places that it names."""
    dims, shape = len(plan.patch), plan.margin()
    at = torch.stack(torch.meshgrid(*[torch.arange(n) for n in shape], indexing="ij")).float()
    start = torch.tensor([7.0] * (3 - dims) + [-2.0, 5.0, 30.0][:dims])
    place = torch.cat([torch.eye(3)[:, 3 - dims :], start[:, None]], 1).double()
    images = Images(at.repeat(40, *[1] * (dims + 1)), None, torch.arange(40), place.repeat(40, 1, 1))
    seen = plan.weak(images)
    voxel = torch.stack(torch.meshgrid(*[torch.arange(n) for n in plan.patch], indexing="ij")).flatten(1)
    named = seen.place @ torch.cat([voxel, torch.ones(1, voxel.shape[1])]).double()
    inside = ((named - start[:, None])[:, 3 - dims :] >= 0).all(1)
    inside &= (named[:, 3 - dims :] <= start[3 - dims :, None] + torch.tensor(shape)[:, None] - 1).all(1)
    shown = seen.image.flatten(2) + start[3 - dims :, None]
    far = (named[:, 3 - dims :] - shown).abs().amax(1)[inside]
    assert inside.float().mean() > 0.8 and far.max() < 1e-3
    assert (named[:, : 3 - dims] == 7).all()
