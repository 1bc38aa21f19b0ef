import copy

import pytest
import torch
from torch import nn

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.learning.gradients import gradient_norms
from halfmask.learning.minimize import Minimizer
from halfmask.methods.semisupervised.adversarial_self_training import AdversarialSelfTraining
from halfmask.methods.semisupervised.deep_adversarial import DeepAdversarial


def test_norms_are_those_of_a_backward_pass_each():
    """Losses of one kind pull together; a weight that a loss does not reach counts as zero."""
    torch.manual_seed(0)
    net, twin = nn.Linear(3, 2), nn.Linear(4, 4)
    weights, x = [*net.parameters(), *twin.parameters()], torch.randn(4, 3)
    losses = lambda: {
        "supervised": net(x).square().mean(),
        "adversarial_labeled": net(x).sum(),
        "adversarial_unlabeled": -2 * net(x)[:2].sum(),
        "pseudo": net(x)[:, 0].exp().mean(),
    }
    measured = gradient_norms(losses(), weights)
    assert all(p.grad is None for p in weights)

    def plain(*names):
        net.zero_grad()
        sum(losses()[name] for name in names).backward()
        return torch.cat([p.grad.flatten() for p in net.parameters()]).norm().item()

    expected = {
        "gradient supervised": plain("supervised"),
        "gradient adversarial": plain("adversarial_labeled", "adversarial_unlabeled"),
        "gradient pseudo": plain("pseudo"),
    }
    others = expected["gradient supervised"] + expected["gradient pseudo"]
    expected["gradient ratio"] = expected["gradient adversarial"] / others
    assert {name: norm.item() for name, norm in measured.items()} == pytest.approx(expected)
    images = gradient_norms({"cycle": net(x).sum(), "adversarial": 2 * net(x).sum()}, weights)
    assert "gradient ratio" not in images and images["gradient ratio without labels"].item() == pytest.approx(2)
    assert list(gradient_norms({"critic": net(x).sum()}, weights)) == ["gradient critic"], "a ratio to what?"


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["32", "bf16"])
@pytest.mark.parametrize("kind", [DeepAdversarial, AdversarialSelfTraining])
def test_measuring_changes_no_bit_of_a_training_with_dropout(kind, precision):
    torch.manual_seed(0)
    made, states = testing.arranged(kind(testing.small(2, norm="batch", dropout=0.2))).train(), []
    for measure in (False, True):
        method = copy.deepcopy(made)
        minimize = Minimizer(method, method.optimizers(lambda p: torch.optim.Adam(p, 0.01)), clip=1.0)
        minimize.measure = measure
        torch.manual_seed(1)
        for step in range(3):
            batch = testing.some_batch(2)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
                method.step(batch, minimize, Clock(step, 3))
        assert ("gradient ratio" in minimize.figures) == measure
        assert all(figure.isfinite() for figure in minimize.gradients.values())
        states.append((method.state_dict(), torch.get_rng_state()))
    (ours, drawn), (theirs, same) = states
    assert torch.equal(drawn, same)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert any(not torch.equal(value, made.state_dict()[name]) for name, value in ours.items())
