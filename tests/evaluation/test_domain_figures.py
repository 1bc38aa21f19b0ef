"""Figures of domains apart: who knows a case's domain, and what is said and written."""

import json

import numpy as np
import pandas as pd
import pytest
from test_compare import described, label, write

from halfmask import verbs
from halfmask.evaluation import note
from halfmask.evaluation.domains import apart, summaries
from halfmask.evaluation.table import summary, tabulate

TABLE = tabulate({case: {"liver": {"dice": d}} for case, d in {"a": 0.9, "b": 0.5, "c": 0.7, "d": 0.1}.items()})


def test_each_domain_has_the_summary_of_its_cases_and_those_without_come_last():
    domains = {"a": "z 2", "c": "z 2", "b": "NA"}
    parts = apart(TABLE, domains)
    assert {name: list(rows["case"]) for name, rows in parts.items()} == {
        "NA": ["b"], "z 2": ["a", "c"], "unknown": ["d"],
    }  # fmt: skip
    assert list(parts) == ["NA", "z 2", "unknown"]
    found = summaries(TABLE, domains)
    for name, of in [("", summary(TABLE)), *((name, summary(rows)) for name, rows in parts.items())]:
        rows = found[found["domain"] == name].drop(columns="domain").reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, of)


@pytest.mark.parametrize("domains", [{}, dict.fromkeys("abcd", "x")])
def test_cases_of_one_domain_have_none_apart(domains):
    assert apart(TABLE, domains) == {}
    pd.testing.assert_frame_equal(summaries(TABLE, domains), summary(TABLE))


@pytest.fixture
def masks(tmp_path):
    """Three cases, of which the table of the labels names two domains."""
    lines = ["case,image,label,domain"]
    for case, domain in {"a": "A", "b": "B", "c": ""}.items():
        for part in ("labels", "images", "masks"):
            write(tmp_path / part / f"{case}.nii.gz", label((1, 1, 5)).astype(np.uint8))
        lines.append(f"{case},images/{case}.nii.gz,labels/{case}.nii.gz,{domain}")
    (tmp_path / "cases.csv").write_text("\n".join(lines))
    return tmp_path


def test_prediction_tells_domains_or_else_the_labels_do(masks, capsys):
    """As `halfmask prepare --domain` finds them in names, and no label file knows of it."""
    verbs.evaluate(masks / "masks", masks / "cases.csv", workers=1)
    assert note.read(masks / "masks").domains == {"a": "A", "b": "B"}
    said = capsys.readouterr().out
    heads = [line for line in said.splitlines() if line.startswith(("Domain", "All"))]
    assert heads == ["Domain A, cases: 1", "Domain B, cases: 1", "Domain unknown, cases: 1", "All domains"]
    described(masks / "masks", domains={"c": "A", "b": "C"})
    verbs.evaluate(masks / "masks", masks / "cases.csv", workers=1)
    assert note.read(masks / "masks").domains == {"a": "A", "b": "C", "c": "A"}
    written = pd.read_csv(masks / "masks" / "metrics-summary.csv", keep_default_na=False)
    assert list(written.columns[:2]) == ["domain", "structure"] and list(written["domain"].unique()) == ["", "A", "C"]


def test_plain_labels_are_told_of_as_ever(masks, capsys):
    verbs.evaluate(masks / "masks", masks / "labels", workers=1)
    assert "omain" not in capsys.readouterr().out
    assert "domain" not in pd.read_csv(masks / "masks" / "metrics-summary.csv")
    old = json.loads((masks / "masks" / note.FILE).read_text())
    del old["domains"]
    (masks / "masks" / note.FILE).write_text(json.dumps(old))
    assert note.read(masks / "masks").domains == {}
