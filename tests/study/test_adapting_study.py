"""Studies of domain adaptation: what is refused before they begin, and runs that share a training."""

import pytest

from halfmask.data.layouts import read_index
from halfmask.study.conduct import DONE, finished
from halfmask.study.forecast import SAMPLE, _sample
from halfmask.study.grid import arms
from halfmask.study.jobs import Place, store_key
from halfmask.study.measure import Cost
from halfmask.study.protocol import study_of
from halfmask.study.scheme import make_scheme

BATCH = {"unet": {"width": 4, "norm": "batch"}}
FIRST = {"name": "a", "source": "A", "target": "B", "networks": {"unet": {"width": 4}}}


def scheme(store, out=None, **told):
    study = study_of(FIRST | {"methods": {"supervised": {}}} | told, where="here")
    return make_scheme(study, Place(out or store.path, store.path), store.plan, store.splits, device="cpu")


def test_norms_that_a_network_has_not_are_told_before_hours_of_work(prepared):
    methods = {"still": {"method": "supervised", "predict": {"test_time": "statistics"}}, "advent": {"norms": "domain"}}
    with pytest.raises(
        ValueError, match=r"still: --test-time statistics is for batch norm(.|\n)*advent: statistics by"
    ):
        scheme(prepared(2), methods=methods)
    scheme(prepared(2), methods=methods, networks=BATCH)
    with pytest.raises(
        ValueError, match=r"'still', predict: test_time_steps and test_time_rate are of test_time: entr"
    ):
        scheme(prepared(2), methods={"still": {"method": "supervised", "predict": {"test_time_steps": 3}}})


def test_domains_without_cases_are_told_before_hours_of_work(prepared):
    with pytest.raises(ValueError, match="no case has the domain 'C'"):
        scheme(prepared(2), target="C", methods={"fixmatch": {}})
    with pytest.raises(ValueError, match=r"9 were asked for; those of A alone count"):
        scheme(prepared(2), labels=[9])


@pytest.mark.parametrize(
    ("row", "sides", "fits"),
    [
        ({}, {}, False),
        ({"source": "B"}, {}, True),
        ({"source": ["A", "B"]}, {}, True),
        ({"source": None, "target": None}, {}, True),
        ({"source": None}, {}, False),  # all but the target
        ({}, {"target": None}, False),
        ({"source": "B"}, {"target": None}, True),
        ({}, {"source": None}, False),
        ({}, {"source": None, "target": None}, True),  # a bound without domains
    ],
)
def test_the_ceiling_reads_labels_of_the_target(row, sides, fits):
    told = FIRST | sides | {"methods": {"plain": {"method": "supervised"}, "top": {"method": "supervised"} | row}}
    if fits:
        assert study_of(told | {"ceiling": "top"}, where="here").ceiling == "top"
        return
    with pytest.raises(ValueError, match="the ceiling 'top' reads no label of the target; give its row a source"):
        study_of(told | {"ceiling": "top"}, where="here")


def test_what_makes_clusters_learns_from_all_domains():
    of = lambda row: arms(study_of(FIRST | {"methods": {"picie": row, "fixmatch": {}}}, where="here"))
    assert [(arm.source, arm.target) for arm in of({})] == [(None, None), (("A",), ("B",))]
    with pytest.raises(ValueError, match=r"'picie': .* leave out source and target"):
        of({"source": "A"})


def test_runs_that_know_no_domains_are_what_they_were_before_there_were_such(prepared):
    """Their folders hold the digest of a store as an older version made it."""
    store = prepared(2)
    plain, adapting = scheme(store, source=None, target=None), scheme(store)
    assert (plain.adapts, adapting.adapts) == (False, True)
    with_domains = store_key(store, domains=True)
    before = store_key(store, domains=False)
    store.splits.domains.clear()
    try:
        assert store_key(store, domains=True) != with_domains and store_key(store, domains=False) == before
    finally:
        store.splits.domains.update({name: case.domain for name, case in store.sources.items()})
    assert store_key(store, domains=True) == with_domains


def test_a_few_cases_to_time_are_of_every_domain(cohort):
    index = read_index(cohort)
    found = _sample(index, type("Splits", (), {"test": ()}))
    assert {(c.domain, c.labeled) for c in found.cases} == {(c.domain, c.labeled) for c in index.cases}
    assert len(found.cases) <= 4 * SAMPLE


def test_what_is_trained_anew_is_predicted_anew(prepared, tmp_path, capfd):
    """As when the folder of a run was removed, to train it otherwise: what another row predicts is stale then."""
    rows = {"supervised": {}, "sharp": {"method": "supervised", "predict": {"flips": True}}, "fixmatch": {}}
    found = scheme(prepared(2), out=tmp_path, methods=rows)
    jobs = found.jobs({title: Cost() for title in rows}, 1)
    for job in jobs:
        job.folder.mkdir(parents=True)
        job.mark_done(1.0)
    first, second, third = (job.name for job in jobs)
    assert finished(found, jobs) == {first, second, third} and not capfd.readouterr().err
    (jobs[0].folder / DONE).unlink()
    assert finished(found, jobs) == {third} and not jobs[1].is_done()
    assert f"{second} is predicted anew, as {first} is trained anew" in capfd.readouterr().err
