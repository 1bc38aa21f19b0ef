import re
from importlib.resources import files

import pytest

STYLE = files("halfmask.report").joinpath("style.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([a-z]+\d?): (#\w{6})", part)) for part in STYLE.split("prefers-color-scheme: dark")[:2]
)


def luminance(color):
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    """WCAG 2.2: from 1 to 21."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out(colors):
    for ground in ("ground", "raised"):
        for text in ("text", "quiet", "link"):
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    for n in range(6):
        assert contrast(colors[f"s{n}"], colors["ground"]) >= 3, n
