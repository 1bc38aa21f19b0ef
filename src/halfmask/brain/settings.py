"""What is done to each subject, and what of it is left out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from halfmask.config import nearest

TEMPLATE, NONE = "template", "none"

Landmarks = tuple[float, ...]
"""Quantiles of a channel's brightness in the brain, at `normalization.QUANTILES`, as shares of its range."""


class Settings(BaseModel):
    """The steps, in the order in which they are done.

    Attributes:
        align: register each modality to the first.
        skull: what finds the brain, or "none" for heads that are stripped already or are to keep their skull.
        bias: correct each modality's bias field by N4.
        reference: what the first modality is registered to: "template" (ICBM 152), the name of a case, an image file
            of a stripped brain, or "none" for each subject's own place.
        spacing: of the result, mm, the same along each axis.
        normalization: of each modality's brightness in the brain to [0, 1]: "percentile", by its own 0.1st and 99.9th;
            "nyul", also by the landmarks of the cohort; or "none".
        landmarks: of the cohort, by channel, where these are known already.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    align: bool = True
    skull: Literal["deepbet", "hd-bet", "synthstrip", "none"] = "deepbet"
    bias: bool = True
    reference: str = TEMPLATE
    spacing: Annotated[float, Field(gt=0, le=10)] = 0.9
    normalization: Literal["percentile", "nyul", "none"] = "percentile"
    landmarks: dict[str, Landmarks] = {}

    @model_validator(mode="before")
    @classmethod
    def _of_yes(cls, given: Any) -> Any:
        """``brain: true`` in a plan is all steps as they come."""
        return {} if given is True else given


def settings_from(given: Any, *, where: str) -> Settings:
    """Settings from plain data, with every fault told."""
    try:
        return Settings.model_validate(given)
    except ValidationError as e:
        lines = []
        for error in e.errors():
            key = ".".join(map(str, error["loc"]))
            if error["type"] == "extra_forbidden":
                lines.append(f"no key is called {key!r}; {nearest(key, Settings.model_fields)}")
            else:
                lines.append(f"{key + ': ' if key else ''}{error['msg']}, got {error['input']!r}")
        raise ValueError("\n".join(f"{where}: {line}" for line in lines)) from None


def differing(there: Settings, asked: Settings) -> str:
    """In which settings two differ, landmarks apart, in words; empty if in none."""
    one, other = (settings.model_dump(exclude={"landmarks"}) for settings in (there, asked))
    return "; ".join(f"{key} is {one[key]} there, {other[key]} was asked for" for key in one if one[key] != other[key])
