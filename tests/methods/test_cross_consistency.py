import pytest
import torch

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.methods.semisupervised import cross_consistency
from halfmask.methods.semisupervised.cross_consistency import CrossConsistency


def made(exclusive=True, **settings):
    torch.manual_seed(0)
    return testing.arranged(
        CrossConsistency(testing.small(2, norm="instance", exclusive=exclusive), **settings)
    ).train()


class Keep:
    """Keeps the losses, with their graph, and moves nothing."""

    def __call__(self, networks, **losses):
        self.networks, self.losses = networks, losses


def test_the_main_decoder_learns_from_labels_alone_and_the_others_from_agreement_alone():
    method, keep = made(), Keep()
    method.step(testing.some_batch(2), keep, Clock(500, 1000))

    def reached(name, module):
        weights = [*module.parameters()]
        pulls = torch.autograd.grad(keep.losses[name], weights, retain_graph=True, allow_unused=True)
        return any(g is not None and g.any() for g in pulls)

    net = method.student
    parts = {"encoder": net.encoder, "decoder": net.decoder, "head": net.head}
    assert {k: reached("supervised", part) for k, part in parts.items()} == dict(encoder=True, decoder=True, head=True)
    assert {k: reached("consistency", p) for k, p in parts.items()} == dict(encoder=True, decoder=False, head=False)
    assert not reached("supervised", method.auxiliaries)
    assert all(reached("consistency", auxiliary) for auxiliary in method.auxiliaries)


def test_it_is_a_slow_loop_over_decoders_and_voxels(monkeypatch):
    monkeypatch.setitem(cross_consistency._FREE, "noise", lambda f: 0.5 * f)
    monkeypatch.setitem(cross_consistency._FREE, "maps", lambda f: -f)
    method, batch = made(families=("noise", "maps"), each=2, weight=3.0, ramp=0.1), testing.some_batch(2)
    u, total = batch.unlabeled.image, 0.0
    with torch.no_grad():
        features, target = method.student.encode(u), method.student(u).softmax(1)
        for auxiliary, factor in zip(method.auxiliaries, (0.5, -1, 0.5, -1), strict=True):
            view = auxiliary([factor * f for f in features]).softmax(1)
            for b in range(len(u)):
                for i in range(testing.SIDE):
                    for j in range(testing.SIDE):
                        total += (view[b, :, i, j] - target[b, :, i, j]).square().mean().item()
    keep = Keep()
    method.step(batch, keep, Clock(50, 1000))
    expected = 3.0 * sigmoid_rampup(0.5) * total / (4 * len(u) * testing.SIDE**2)  # the ramp-up takes a tenth
    assert keep.losses["consistency"].item() == pytest.approx(expected, rel=1e-4)


def test_guided_families_hide_the_object_its_context_or_a_part_of_it():
    method = made()
    features = [torch.ones(1, 2, 8, 8), torch.ones(1, 4, 4, 4)]
    inside = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    inside[..., 2:6, 2:6] = True
    seen = {f: method.views(f, features, None, None, inside) for f in ("context", "object", "cutout")}
    for fine, coarse in seen.values():
        torch.testing.assert_close(
            fine.unflatten(-1, (4, 2)).unflatten(-3, (4, 2)).mean((-1, -3))[:, :1], coarse[:, :1]
        )
    assert seen["context"][0][0, 0].equal(inside[0, 0].float())
    assert seen["object"][0][0, 0].equal(1 - inside[0, 0].float())
    hidden = seen["cutout"][0][0, 0] == 0
    assert hidden.sum() == 4 and not (hidden & ~inside[0, 0]).any()


def test_the_object_is_all_foreground_or_one_region_of_each_image():
    logits = torch.randn(50, 3, 4, 4)
    assert made().foreground(logits).equal((logits.argmax(1) > 0)[:, None])
    drawn = made(exclusive=False).foreground(logits)
    which = (drawn == (logits > 0)).flatten(2).all(2)
    assert (which.sum(1) == 1).all() and which.any(0).all()


def test_the_adversary_is_further_from_the_target_than_noise_of_its_length():
    method, u = made(), testing.some_batch(2).unlabeled.image
    auxiliary = method.auxiliaries[-1]
    features, target = [f.detach() for f in method.student.encode(u)], method.predict(u).detach()
    apart = lambda views: (method.probability(auxiliary(views)) - target).square().sum().item()
    hostile = method.views("adversarial", features, auxiliary, target, None)
    lengths = [(h - f).flatten(1).norm(dim=1) for h, f in zip(hostile, features, strict=True)]

    def noise(f, length):
        n = torch.randn_like(f)
        return f + n * (length / n.flatten(1).norm(dim=1)).view(-1, 1, 1, 1)

    chance = [apart([noise(f, s) for f, s in zip(features, lengths, strict=True)]) for _ in range(5)]
    assert apart(hostile) > max(chance)


def test_without_a_family_there_is_nothing_to_train():
    with pytest.raises(ValueError, match="a family of perturbations at least"):
        made(families=())
