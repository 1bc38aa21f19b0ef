import pytest
import torch

from halfmask import testing
from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice_ce
from halfmask.methods.semisupervised.deep_co_training import DeepCoTraining


def made(exclusive=True, **settings):
    torch.manual_seed(0)
    network = testing.small(2, norm="instance", exclusive=exclusive)
    return testing.arranged(DeepCoTraining(network, **settings)).train()


def losses(method, batch):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(500, 1000))
    return minimize.losses


def cases(batch, *numbers):
    return Batch(batch.labeled.with_(case=torch.tensor(numbers)), batch.unlabeled)


def test_equal_networks_agree():
    method = made()
    method.peer1.load_state_dict(method.student.state_dict())
    assert losses(method, testing.some_batch(2))["divergence"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("exclusive", [True, False])
def test_adversarial_examples_are_within_epsilon_and_harder(exclusive):
    method, u = made(exclusive, epsilon=0.02), testing.some_batch(2).unlabeled.image
    attacked = method.attack(method.student, u)
    assert (attacked - u).abs().max().item() == pytest.approx(0.02, rel=1e-4)
    assert not attacked.requires_grad and not u.requires_grad
    with torch.no_grad():
        _, decided = method.decide(method.student(u))
        clean, harder = (dice_ce(method.student(image), decided) for image in (u, attacked))
    assert harder > 1.05 * clean
    assert all(p.grad is None for p in method.parameters())


@pytest.mark.parametrize(("networks", "exclusive"), [(2, True), (3, False)])
def test_it_is_a_slow_loop(networks, exclusive):
    """Each learns at the adversarial example of the next what the next says of the clean image."""
    method, batch = made(exclusive, networks=networks, apart=True), testing.some_batch(2, exclusive=exclusive)
    u, K = batch.unlabeled.image, testing.CLASSES
    nets = [method.student, method.peer1] + ([method.peer2] if networks == 3 else [])
    for net in nets:
        net.head.weight.data.mul_(0.05)  # no probability of 0
    probability = (lambda x: x.softmax(1)) if exclusive else torch.sigmoid
    attacks = [method.attack(net, u) for net in nets]
    with torch.no_grad():
        p = [probability(net(u)) for net in nets]
        q = [probability(net(attacks[(k + 1) % networks])) for k, net in enumerate(nets)]
    agreement, diversity = [], []
    parts = [slice(0, K)] if exclusive else [slice(k, k + 1) for k in range(K)]
    for b, i, j in torch.cartesian_prod(*(torch.arange(n) for n in p[0][:, 0].shape)).tolist():
        for part in parts:
            whole = (lambda v: v) if exclusive else (lambda v: torch.cat([v, 1 - v]))
            here, there = ([whole(m[b, part, i, j]) for m in maps] for maps in (p, q))
            entropy = lambda v: -(v * v.log()).sum() / torch.tensor(float(len(v))).log()
            agreement.append(entropy(sum(here) / networks) - sum(entropy(v) for v in here) / networks)
            diversity.append(sum(-(here[(k + 1) % networks] * there[k].log()).sum() for k in range(networks)))
    told = losses(method, batch)
    for name, weight, slow in (("divergence", 0.5, agreement), ("diversity_unlabeled", 0.05, diversity)):
        expected = weight * sigmoid_rampup(0.5) * torch.stack(slow).mean()
        torch.testing.assert_close(told[name], expected, rtol=1e-3, atol=1e-6)


def test_each_network_has_labeled_cases_of_its_own():
    """The other's are as if not annotated; a batch without a case of its own leaves it with no supervised gradient."""
    method, batch = made(apart=True, weight=0.0, diversity=0.0), testing.some_batch(2)
    x, y = batch.labeled.image, batch.labeled.label
    with torch.no_grad():
        first, second = dice_ce(method.student(x[1:]), y[1:]), dice_ce(method.peer1(x[:1]), y[:1])
    torch.testing.assert_close(losses(method, cases(batch, 5, 2))["supervised"], first + second)
    assert method.found.all()
    for numbers, still, moves in (((4, 2), method.peer1, method.student), ((1, 3), method.student, method.peer1)):
        before = [net.head.weight.clone() for net in (still, moves)]
        losses(method, cases(batch, *numbers))
        assert still.head.weight.equal(before[0]) and not moves.head.weight.equal(before[1])


def test_a_single_labeled_case_is_shared():
    method, batch = made(apart=True), testing.some_batch(2)
    x, y = batch.labeled.image, batch.labeled.label
    for _ in range(2):
        with torch.no_grad():
            both = dice_ce(method.student(x), y) + dice_ce(method.peer1(x), y)
        torch.testing.assert_close(losses(method, cases(batch, 0, 0))["supervised"], both)


def test_all_labels_may_serve_all():
    method, batch = made(), cases(testing.some_batch(2), 0, 1)
    losses(method, batch)
    assert method.found.all()
    assert method.parts(batch.labeled.case, testing.minimizer(method)).all()


def test_all_networks_predict():
    image = testing.some_batch(2).image
    method = made(networks=3)
    mean = sum(net(image).softmax(1) for net in (method.student, method.peer1, method.peer2)) / 3
    torch.testing.assert_close(method.predict(image), mean)
    torch.testing.assert_close(made(predict_with="student").predict(image), made().student(image).softmax(1))


def test_the_peer_is_who_labels():
    """The monitor is to tell how far the two agree, not the first with itself."""
    method = made()
    assert method.labeler is method.peer1
