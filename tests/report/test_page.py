"""The whole way from a cohort to the page."""

import html.parser
import itertools
import re

import pytest

from halfmask import verbs
from halfmask.report.gather import gather
from halfmask.report.page import page

VOID = {"meta", "br", "wbr", "img"}


class Reader(html.parser.HTMLParser):
    """What a page holds: its elements in order, its ids, its references; fails where an end tag is missing."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.tags.append((tag, told))
        self.ids += [told["id"]] if "id" in told else []
        self.links += [told[k] for k in ("href", "src") if k in told]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def runs(cohort, prepared, tmp_path_factory):
    """Two runs with masks and figures where the verbs put them by themselves."""
    folder = tmp_path_factory.mktemp("runs")
    for method in ("supervised", "fixmatch"):
        run = folder / method
        verbs.train(method, prepared(2).path, out=run, steps=3, labels="2", validations=1, threads=0)
        written = verbs.predict(run, split="test")
        assert {p.parent for p in written} == {run / "masks"}
        verbs.evaluate(run / "masks", cohort, workers=1)
        assert (run / "masks" / "metrics.csv").exists()
    return folder


@pytest.fixture(scope="module")
def written(runs):
    out = runs / "report.html"
    verbs.report([runs / "supervised", runs / "fixmatch"], out=out)
    return out.read_text(encoding="utf-8")


def test_the_page_stands_alone(written):
    found = Reader(written)
    assert len(found.ids) == len(set(found.ids))
    assert found.links, "contents and pictures"
    for link in found.links:
        assert link.startswith(("#", "data:image/")), link
        assert not link.startswith("#") or link[1:] in found.ids
    assert not re.search(r"https?:|@import|url\(|<script", written)
    assert "prefers-color-scheme: dark" in written and "color-scheme: light dark" in written
    assert dict(found.tags)["html"] == {"lang": "en"}
    assert len(written) < 3e6


def test_headings_are_in_order_and_pictures_have_names(written):
    levels = [int(tag[1]) for tag, _ in Reader(written).tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert len(re.findall(r'<svg[^>]*role="img"', written)) == len(re.findall(r"<svg[^>]*><title>", written)) > 6


def test_all_of_it_is_there(written, runs, cohort, capsys):
    told = html.unescape(re.sub(r"<[^>]*>", " ", written))
    assert "too few cases for a test" in told, "one sealed case proves nothing"
    for part in ("Metrics", "Against supervised training", "Learning curves", "kept: share of unlabeled", "Worst case",
                 "Dice, lesion", "What differs", "recipe.unlabeled", "PyTorch", "training time"):  # fmt: skip
        assert part in told, part
    assert "What is missing" not in told
    for run in ("supervised", "fixmatch"):
        assert f"halfmask train {run} " in told
        assert f"halfmask predict {runs / run} --split test" in told
        assert f"halfmask evaluate {runs / run / 'masks'} {cohort}" in told
    for plane in ("axial", "coronal", "sagittal"):
        assert f"{plane}, " in told


def test_a_missing_table_and_moved_images_are_told(runs, tmp_path):
    import json
    import shutil

    moved = tmp_path / "moved"
    shutil.copytree(runs / "supervised", moved)
    about = json.loads((moved / "masks" / "prediction.json").read_text())
    about["images"] = {case: ["/nowhere/image.nii.gz"] for case in about["images"]}
    (moved / "masks" / "prediction.json").write_text(json.dumps(about))
    made = page(gather([moved]))
    assert "No pictures of this case: /nowhere/image.nii.gz cannot be read" in made.html
    (moved / "masks" / "metrics.csv").unlink()
    made = page(gather([moved]))
    assert made.summary.startswith("Nothing was measured")
    assert any("there is no" in told and "metrics.csv" in told for told in made.missing)
    assert "What is missing" in made.html
    Reader(made.html)


def test_new_masks_are_not_shown_with_old_figures(runs, tmp_path):
    import shutil

    again = tmp_path / "again"
    shutil.copytree(runs / "supervised", again)
    verbs.predict(again, split="test")
    (entry,) = gather([again])
    assert entry.table is None
    assert "was not measured" in entry.missing[0]


def test_text_from_files_cannot_become_markup(runs, tmp_path):
    import shutil

    evil = tmp_path / "<script>x"
    shutil.copytree(runs / "supervised", evil)
    settings = evil / "run.yaml"
    settings.write_text(settings.read_text() + "note: '<script>alert(1)</script>'\n")
    table = evil / "masks" / "metrics.csv"
    table.write_text(table.read_text().replace("lesion,", "<script>,"))
    made = page(gather([evil]))
    assert "<script" not in made.html
    assert "&lt;script&gt;alert(1)" in made.html
    Reader(made.html)


def test_predict_needs_a_place_for_other_images(runs, cohort):
    with pytest.raises(ValueError, match="give --out, the folder for the masks; only --split has"):
        verbs.predict(runs / "supervised", cohort / "imagesTr")


def test_of_the_pseudo_labels_the_shares_lie_open(written):
    """A plot for each class and figure; those that need nothing to have been found are never empty."""
    section = written[written.index('id="pseudo"') : written.index('id="pictures"')]
    folds = re.findall(r"<details( open=\"\")?><summary>(\w+): ", section)
    assert folds == [(' open=""', "Share"), ("", "Confidence"), ("", "Agreement"), ("", "Dice")]
    shares = section[: section.index("<summary>Confidence")]
    assert re.findall(r"<figcaption>(\w+)<", shares) == ["background", "lesion", "ventricles"]
