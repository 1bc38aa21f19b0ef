"""Figures of each domain (scanner, site) apart: a mean over all hides how far a method falls on another's images."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from halfmask.evaluation.table import summary

UNKNOWN = "unknown"
"""What the domain of a case is called that has none, where others have."""
SHOWN = ("dice", "hd95", "assd")
"""The metrics that are printed of each domain; all of them are written."""


def by_domain(table: pd.DataFrame, domains: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """The rows of each domain by its name, those of cases without one last.

    Args:
        table: a row for each case and structure.
        domains: case to domain, for every case that has one.
    """
    found = table["case"].map(lambda case: domains.get(case) or UNKNOWN)
    names = sorted(found.unique(), key=lambda name: (name == UNKNOWN, name))
    return {name: table[found == name] for name in names}


def apart(table: pd.DataFrame, domains: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """The same where the cases are of several domains; else nothing, as there is nothing to tell apart."""
    found = by_domain(table, domains)
    return found if len(found) > 1 else {}


def summaries(table: pd.DataFrame, domains: Mapping[str, str]) -> pd.DataFrame:
    """`summary` over all cases; where they are of several domains also over each, told by a first column ``domain``.

    That column is empty in the rows over all cases, which come first.
    """
    whole, parts = summary(table), apart(table, domains)
    if not parts:
        return whole
    whole.insert(0, "domain", "")
    each = [summary(rows).assign(domain=name) for name, rows in parts.items()]
    return pd.concat([whole, *each], ignore_index=True)
