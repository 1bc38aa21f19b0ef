from __future__ import annotations

from typing import Any, Literal

import pytest

from halfmask.config import Count, Share, Weight, read_settings, settings_of
from halfmask.report.commands import setting_words


def made(
    network: object,
    *,
    weight: Weight = 0.1,
    share: Share | None = None,
    width: Count = 8,
    blocks: tuple[Count, ...] | None = None,
    plain: float = 0.0,
    names: tuple[str, str] = ("a", "b"),
    on: Literal["a,b", "c"] = "c",
    more: dict[str, Any] | None = None,
):
    """A constructor as a method's."""


def read(**given):
    return read_settings(made, given, of="method 'made'")


def test_keywords_are_settings():
    found = settings_of(made)
    assert list(found) == ["weight", "share", "width", "blocks", "plain", "names", "on", "more"]
    assert (found["weight"].type, found["weight"].default) == (Weight, 0.1)


def test_text_becomes_what_the_type_says():
    text = dict(weight="0", share="1", width="3", blocks="1,3, 4", plain="-2", names="x,y", on="a,b")
    assert read(**text) == dict(
        weight=0.0, share=1.0, width=3, blocks=(1, 3, 4), plain=-2.0, names=("x", "y"), on="a,b"
    )
    assert read(blocks="2") == read(blocks=[2]) == {"blocks": (2,)}
    assert read(more="width=8, blocks=1,2 ,name = x=y")["more"] == {"width": "8", "blocks": "1,2", "name": "x=y"}
    assert read(more={"width": 8})["more"] == {"width": 8}
    assert read(more="")["more"] == {}
    assert read(share="None", blocks="None", more="None", on="c") == {
        "share": None,
        "blocks": None,
        "more": None,
        "on": "c",
    }
    assert read(share=None, blocks=None, more=None) == {"share": None, "blocks": None, "more": None}


def test_commands_are_written_as_they_are_read():
    settings = dict(blocks=(1, 2), share=None, names=("x", "y"), width=3, more={"depths": (1, 2), "name": "x"})
    words = setting_words(settings)[1::2]
    told = read(**dict(word.split("=", 1) for word in words))
    assert told == settings | {"more": {"depths": "1,2", "name": "x"}}
    assert read(more=setting_words({"more": {}})[1].removeprefix("more=")) == {"more": {}}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (dict(weight="-0.1"), "weight = '-0.1' should be greater than or equal to 0"),
        (dict(share="1.1"), "share = '1.1' should be less than or equal to 1"),
        (dict(width=0), "width = 0 should be greater than or equal to 1"),
        (dict(blocks="1,0"), "blocks = '1,0' should be greater than or equal to 1"),
        (dict(plain="nan"), "plain = 'nan' should be a finite number"),
        (dict(weight=float("inf")), "weight = inf should be a finite number"),
        (dict(more="8,width=8"), "more = '8,width=8' should be a valid dictionary"),
        (dict(width="None"), "width = 'None' should be a valid integer, unable to parse string as an integer"),
        (dict(on="d"), "on = 'd' should be 'a,b' or 'c'"),
    ],
    ids=str,
)
def test_bounds_hold_and_the_error_tells_them(given, error):
    with pytest.raises(ValueError) as told:  # noqa: PT011 (the text is compared below)
        read(**given)
    assert str(told.value) == f"method 'made': {error}"
