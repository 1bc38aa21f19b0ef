"""The faults of the field's public code, made on purpose: each must be caught by a check that it names.

A check that lets its mutant through is no check. Faults in a loss's arithmetic rather than in a method's
wiring are caught by the loss's comparison with slow loops, which is therefore run here on the mutants too.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from halfmask import testing
from halfmask.augment.intensity import noisy
from halfmask.augment.views import strong
from halfmask.learning.average import follow
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer
from halfmask.losses.consistency import probability_mse, pseudo_label_ce
from halfmask.losses.segmentation import cross_entropy, dice, dice_ce
from halfmask.methods.semisupervised.deep_adversarial import DeepAdversarial
from halfmask.methods.semisupervised.fixmatch import FixMatch
from halfmask.methods.semisupervised.mean_teacher import MeanTeacher
from halfmask.methods.semisupervised.supervised import Supervised

# ---------------------------------------------------------------------------- checks of this file


def check_low_confidence_teaches_nothing(make, dims):
    """With no confident voxel FixMatch's loss on unlabeled images is exactly 0, and not "all background"."""
    method = make(testing.small(dims)).train()
    method.threshold = 1.1
    minimize = testing.minimizer(method)
    method.step(testing.some_batch(dims), minimize, Clock(50, 100))
    pseudo = minimize.figures["pseudo"]
    assert pseudo == 0, f"voxels that are not sure gave a loss of {pseudo.item():.3g}"


def check_mean_is_over_all_voxels(make, dims):
    """FixMatch's loss is the sum over the kept voxels by the number of all of them."""
    method = testing.arranged(make(testing.small(dims, norm="instance"))).train()
    batch, minimize = testing.some_batch(dims), testing.minimizer(method)
    before, u = copy.deepcopy(method.student), batch.unlabeled.image
    with torch.no_grad():
        method.threshold = before(u).softmax(1).amax(1).median().item()  # half of them kept
    torch.manual_seed(3)
    method.step(batch, minimize, Clock(50, 100))
    torch.manual_seed(3)
    with torch.no_grad():
        weak, seen = before(u).softmax(1), before(strong(u, holes=True)).log_softmax(1)
    total, kept = torch.zeros(()), 0
    for place in torch.cartesian_prod(*(torch.arange(n) for n in weak[:, 0].shape)).tolist():
        b, *voxel = place
        p = weak[(b, slice(None), *voxel)]
        if p.max() >= method.threshold:
            total -= seen[(b, p.argmax(), *voxel)]
            kept += 1
    assert 0 < kept < weak[:, 0].numel(), "else the two means are one"
    torch.testing.assert_close(minimize.figures["pseudo"], total / weak[:, 0].numel())


def check_statistics_follow(make, dims):
    """After a step every number of the teacher lies at α between what it was and the student."""
    method = testing.arranged(make(testing.small(dims))).train()
    before = copy.deepcopy(method.teacher.state_dict())
    method.step(testing.some_batch(dims), testing.minimizer(method), Clock(500, 1000))
    for name, value in method.teacher.state_dict().items():
        now = method.student.state_dict()[name]
        wanted = method.decay * before[name] + (1 - method.decay) * now if value.is_floating_point() else now
        torch.testing.assert_close(value, wanted, msg=f"{name} of the teacher does not follow")


def check_steps_are_a_plain_loops(kind, dims):
    """Two steps of a minimizer are two of zero_grad, backward, step."""
    ours = testing.small(dims)()
    theirs, x = copy.deepcopy(ours), testing.some_batch(dims).image
    method = nn.ModuleDict({"student": ours})
    minimize = kind(method, {"student": torch.optim.SGD(ours.parameters(), lr=0.1)})
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for _ in range(2):
        minimize(ours, loss=ours(x).square().mean())
        optimizer.zero_grad()
        theirs(x).square().mean().backward()
        optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b), "two steps are not those of a plain loop"


def check_mse_is_over_classes(loss, dims):
    """Against slow loops: the mean runs over the classes of each voxel."""
    shape = (2, 3, *(4,) * (dims - 1), 5)
    p, target = torch.randn(shape).softmax(1), torch.randn(shape).softmax(1)
    columns = lambda t: t.movedim(1, -1).reshape(-1, 3)
    slow = [(row - t).square() for row, t in zip(columns(p), columns(target), strict=True)]
    torch.testing.assert_close(loss(p, target), torch.cat(slow).mean())


# ---------------------------------------------------------------------------- the mutants


class KeepsNothing(FixMatch):
    def __init__(self, network):
        super().__init__(network, threshold=1.01)


class TrainsDoubtAsBackground(FixMatch):
    def step(self, batch, minimize, clock):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        with torch.no_grad():
            confidence, pseudo = self.decide(self.student(u))
        labeled, unlabeled = self.student(torch.cat([x, strong(u, holes=True)])).split([len(x), len(u)])
        pseudo = pseudo * (confidence >= self.threshold)
        minimize(self.student, supervised=dice_ce(labeled, y), pseudo=pseudo_label_ce(unlabeled, pseudo))


class MeanOverKept(FixMatch):
    def step(self, batch, minimize, clock):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        with torch.no_grad():
            confidence, pseudo = self.decide(self.student(u))
        labeled, unlabeled = self.student(torch.cat([x, strong(u, holes=True)])).split([len(x), len(u)])
        keep = confidence >= self.threshold
        each = F.cross_entropy(unlabeled, pseudo, reduction="none") * keep
        minimize(self.student, supervised=dice_ce(labeled, y), pseudo=each.sum() / keep.sum().clamp(min=1))


class TeacherIsStudent(MeanTeacher):
    def __init__(self, network):
        super().__init__(network)
        self.teacher = self.student


class SharesItsEncoder(MeanTeacher):
    """A shallow copy: the modules are two, the weights are one."""

    def __init__(self, network):
        super().__init__(network)
        self.teacher.encoder = self.student.encoder


class Taught(MeanTeacher):
    """A mean teacher in pieces, for one of them to be exchanged."""

    def step(self, batch, minimize, clock):
        n = len(batch.labeled)
        logits = self.student(noisy(batch.image, std=self.noise))
        with torch.no_grad():
            target = self.probability(self.teacher(noisy(batch.unlabeled.image, std=self.noise)))
        supervised, consistency = self.losses(batch, logits, target, n)
        minimize(self.student, supervised=supervised, consistency=consistency)
        self.follow()

    def losses(self, batch, logits, target, n):
        return dice_ce(logits[:n], batch.labeled.label), probability_mse(self.probability(logits[n:]), target)

    def follow(self):
        follow(self.teacher, self.student, self.decay)


class NeverMoves(Taught):
    def follow(self):
        pass


class StatisticsStayBehind(Taught):
    """Only the weights follow."""

    def follow(self):
        with torch.no_grad():
            for mine, its in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                mine.lerp_(its, 1 - self.decay)


class StatisticsOfItsOwn(StatisticsStayBehind):
    """And the teacher's batch norms mix in what the teacher sees, as a plain copy's do."""

    def __init__(self, network):
        super().__init__(network)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)


class AgreesWithItself(Taught):
    def losses(self, batch, logits, target, n):
        u = batch.unlabeled.image
        return dice_ce(logits[:n], batch.labeled.label), probability_mse(
            self.probability(self.teacher(noisy(u, std=0.1))), target
        )


class AgreesWithItselfTwice(Taught):
    """The teacher takes gradients here, so the loss has one; but none of it reaches the student."""

    def __init__(self, network):
        super().__init__(network)
        self.teacher = copy.deepcopy(self.student)

    def losses(self, batch, logits, target, n):
        u = batch.unlabeled.image
        return dice_ce(logits[:n], batch.labeled.label), probability_mse(
            self.probability(self.teacher(noisy(u, std=0.1))), target
        )


class SupervisedOnTheWrongHalf(Taught):
    def losses(self, batch, logits, target, n):
        return dice_ce(logits[-n:], batch.labeled.label), probability_mse(self.probability(logits[n:]), target)


class ConsistentOnTheWrongHalf(Taught):
    """Labeled images alone, under the name of a loss on unlabeled ones."""

    def losses(self, batch, logits, target, n):
        own = self.teacher(noisy(batch.labeled.image, std=0.1)).softmax(1)
        return dice_ce(logits[:n], batch.labeled.label), probability_mse(self.probability(logits[:n]), own)


class CriticSeesTheOtherHalf(DeepAdversarial):
    """Of two labeled images and three unlabeled ones."""

    def judged(self, image, logits):
        return super().judged(image, logits).roll(3)


class CriticCutsBesideTheMiddle(DeepAdversarial):
    def judged(self, image, logits):
        return super().judged(image, logits).roll(1)


class IgnoredIsBackground(Supervised):
    def step(self, batch, minimize, clock):
        logits, label = self.student(batch.labeled.image), batch.labeled.label
        minimize(self.student, supervised=dice_ce(logits, label.where(label < logits.shape[1], 0)))


class IgnoredIsBackgroundForDice(Supervised):
    """Cross-entropy leaves them out, Dice does not."""

    def step(self, batch, minimize, clock):
        logits, label = self.student(batch.labeled.image), batch.labeled.label
        wrong = dice(logits, label.where(label < logits.shape[1], 0))
        minimize(self.student, supervised=wrong + cross_entropy(logits, label))


class MeanOfNothing(Supervised):
    """The library's cross-entropy: 0/0 without an annotated voxel."""

    def step(self, batch, minimize, clock):
        logits = self.student(batch.labeled.image)
        minimize(self.student, supervised=F.cross_entropy(logits, batch.labeled.label, ignore_index=255))


class ProbabilityOverWidth(Supervised):
    def predict(self, image):
        return self.student(image).softmax(-1)


class PredictsLogits(Supervised):
    def predict(self, image):
        return self.student(image)


class HasHiddenState(Supervised):
    """What it keeps is in no state dict, so no checkpoint brings it back."""

    seen = 0

    def step(self, batch, minimize, clock):
        self.seen += 1
        loss = dice_ce(self.student(batch.labeled.image), batch.labeled.label)
        minimize(self.student, supervised=loss * self.seen)


class NeverZeroes(Minimizer):
    def __call__(self, networks, **losses):
        sum(losses.values()).backward()
        self.optimizers["student"].step()


def mse_summed_over_classes(p, target):
    return (p - target).square().sum(1).mean()


MUTANTS = [
    (KeepsNothing, testing.check_losses_pull_and_state_moves, "pseudo is 0"),
    (TrainsDoubtAsBackground, check_low_confidence_teaches_nothing, "not sure"),
    (MeanOverKept, check_mean_is_over_all_voxels, "not close"),
    (TeacherIsStudent, testing.check_networks_are_apart, "teacher.* is student"),
    (SharesItsEncoder, testing.check_networks_are_apart, "teacher.* is student"),
    (NeverMoves, testing.check_losses_pull_and_state_moves, "stand still: .*teacher"),
    (StatisticsStayBehind, testing.check_losses_pull_and_state_moves, "stand still: .*running_mean"),
    (StatisticsOfItsOwn, check_statistics_follow, "running_mean of the teacher"),
    (AgreesWithItself, testing.check_losses_pull_and_state_moves, "consistency has no gradient"),
    (AgreesWithItselfTwice, testing.check_losses_pull_and_state_moves, "consistency pulls on nothing"),
    (SupervisedOnTheWrongHalf, testing.check_halves, "supervised is not a loss of the labeled"),
    (ConsistentOnTheWrongHalf, testing.check_halves, "consistency does not depend on the unlabeled"),
    (CriticSeesTheOtherHalf, testing.check_halves, "critic_labeled is not a loss of the labeled"),
    (CriticCutsBesideTheMiddle, testing.check_halves, "critic_.* is not a loss of the .*labeled"),
    (IgnoredIsBackground, testing.check_unannotated, "without one annotated voxel"),
    (IgnoredIsBackgroundForDice, testing.check_unannotated, "without one annotated voxel"),
    (MeanOfNothing, testing.check_unannotated, "without one annotated voxel"),
    (ProbabilityOverWidth, testing.check_prediction, "not close"),
    (PredictsLogits, testing.check_prediction, "no probabilities"),
    (HasHiddenState, testing.check_reproducible, "differs"),
    (NeverZeroes, check_steps_are_a_plain_loops, "not those of a plain loop"),
    (mse_summed_over_classes, check_mse_is_over_classes, "not close"),
]


@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
@pytest.mark.parametrize(("mutant", "check", "told"), MUTANTS, ids=lambda v: getattr(v, "__name__", ""))
def test_a_mutant_is_caught(mutant, check, told, dims):
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match=f"(?s){told}"):
        check(mutant, dims)


SOUND = [
    (FixMatch, check_low_confidence_teaches_nothing),
    (FixMatch, check_mean_is_over_all_voxels),
    (MeanTeacher, check_statistics_follow),
    (Minimizer, check_steps_are_a_plain_loops),
    (probability_mse, check_mse_is_over_classes),
    *((Taught, check) for check in testing.CHECKS),
]


@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
@pytest.mark.parametrize(("sound", "check"), SOUND, ids=lambda v: v.__name__)
def test_the_sound_one_passes(sound, check, dims):
    """Else a check would catch mutants by catching everything."""
    torch.manual_seed(0)
    check(sound, dims)


def test_the_batch_tells_its_halves_apart():
    """What `check_halves` rests on: halves of one size would hide a cut at the wrong place."""
    batch = testing.some_batch(2)
    assert len(batch.labeled) != len(batch.unlabeled)
    assert batch.unlabeled.label is None
