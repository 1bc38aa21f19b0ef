from halfmask.report.markup import Markup, breakable, join, tag


def test_text_is_escaped_and_markup_is_not():
    made = tag("p", "<b>&", tag("b", '"x"'), title='"><script>')
    assert made == '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;&amp;<b>&quot;x&quot;</b></p>'
    assert isinstance(made, Markup)


def test_children_and_attributes_that_are_nothing_are_left_out():
    assert tag("td", None, ["a", [1, 2.500]], class_=None, hidden=False) == "<td>a12.5</td>"
    assert tag("meta", charset="utf-8", aria_label="x") == '<meta charset="utf-8" aria-label="x">'
    assert join(["<", Markup("<i></i>")]) == "&lt;<i></i>"


def test_long_names_may_break_and_stay_escaped():
    assert tag("th", breakable("mean_teacher <x>")) == "<th>mean_<wbr>teacher &lt;x&gt;</th>"
