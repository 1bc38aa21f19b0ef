"""What the documentation shows works."""

import re
from pathlib import Path

import pytest
import torch

from halfmask import testing

ROOT = Path(__file__).parents[1]


def shown(page):
    """The first block of Python on a page, run."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)[1]
    names = {"__name__": "shown"}
    exec(compile(block, page, "exec", dont_inherit=True), names)
    return names


@pytest.mark.parametrize("exclusive", [True, False], ids=["classes", "regions"])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda c: c.__name__)
def test_the_method_on_the_page_conforms(check, dims, exclusive):
    torch.manual_seed(0)
    method = shown("adding-a-method.md")["Agreement"]
    testing.check_says_where_it_comes_from(method)
    check(method, dims, exclusive)


@pytest.mark.parametrize("page", [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.is_file(), f"{page.name} leads to {target}"
        headings = re.findall(r"^#+ (.*)$", file.read_text(), re.M) if file.suffix == ".md" else []
        slugs = [re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings]
        assert not anchor or anchor in slugs, f"{page.name} leads to {target}#{anchor}; there are {slugs}"
