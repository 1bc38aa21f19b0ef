"""What a data set says of itself: channels, labels, regions and the ignore value, in dataset.json or dataset.yaml."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from halfmask.config import nearest
from halfmask.data.index import Index


def read_description(index: Index) -> Index:
    """Read dataset.yaml beside the images, if there is one: channels, labels, regions, ignore."""
    file = index.root / "dataset.yaml"
    if not file.is_file():
        return index
    try:
        about = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as e:
        raise ValueError(f"{file} is no valid YAML: {e}") from e
    if not isinstance(about, dict):
        raise ValueError(f"{file}: expected a mapping with channels, labels, regions or ignore, got {about!r}")
    known = {"channels", "labels", "regions", "ignore"}
    if unknown := sorted(set(about) - known):
        raise ValueError("\n".join(f"{file}: no key is called {k!r}; {nearest(k, known)}" for k in unknown))
    return described(index, about, file)


def described(index: Index, about: dict[str, Any], file: Path) -> Index:
    """Labels as {"1": name} (Decathlon) or {name: 1} (nnU-Net), where "ignore" is none and a list is a region.

    Among lists a single value is a region too, as in nnU-Net: {background: 0, tumor: [1, 2], core: 2}. Values that
    only regions name are called after their number.
    """
    labels: dict[str, int] = {}
    regions: dict[str, tuple[int, ...]] = {}
    channels = _channel_names(about, file)
    ignore = about.get("ignore")
    if ignore is not None and not isinstance(ignore, int):
        raise ValueError(f"{file}: ignore must be a label value, got {ignore!r}")
    for part in ("labels", "regions"):
        if not isinstance(about.get(part) or {}, dict):
            raise ValueError(
                f"{file}: {part} must be a mapping such as {{background: 0, tumor: 1}}, got {about[part]!r}"
            )
    told = about.get("labels") or {}
    by_region = any(isinstance(value, list) for value in told.values())
    for key, value in told.items():
        by_value = str(key).lstrip("-").isdigit() and not isinstance(value, list)
        name, number = (value, key) if by_value else (key, value)
        numbers = number if isinstance(number, list) else [number]
        values = tuple(_value(n, {}, f"{file}: labels: {name}") for n in numbers)
        if name == "ignore":
            if len(values) != 1:
                raise ValueError(f"{file}: labels: ignore must be one value, got {number!r}")
            (ignore,) = values
            continue
        if by_region and values != (0,):
            regions[str(name)] = values
        if not isinstance(number, list) or values == (0,):
            labels[str(name)] = values[0]
    for name, parts in (about.get("regions") or {}).items():
        if not isinstance(parts, list):
            raise ValueError(f"{file}: regions: {name} must be a list of labels such as [1, 2], got {parts!r}")
        regions[str(name)] = tuple(_value(n, labels, f"{file}: regions: {name}") for n in parts)
    if len(set(labels.values())) < len(labels):
        raise ValueError(f"{file}: two labels have one value: {labels}")
    labels = dict(sorted(labels.items(), key=lambda item: (item[1] != 0, item[1])))
    if by_region:
        unnamed = sorted({v for values in regions.values() for v in values} - set(labels.values()))
        labels |= {f"label {v}": v for v in unnamed}
    unknown = sorted({v for values in regions.values() for v in values} - set(labels.values()))
    if unknown and labels:
        raise ValueError(f"{file}: regions name the values {unknown}, which are no labels: {labels}")
    return replace(index, channels=channels or index.channels, labels=labels, regions=regions, ignore=ignore)


def _value(given: Any, labels: dict[str, int], where: str) -> int:
    """A label's value, given as a whole number or by the label's name."""
    if isinstance(given, str) and given in labels:
        return labels[given]
    try:
        if not isinstance(given, bool) and int(given) == float(given):
            return int(given)
    except (TypeError, ValueError, OverflowError):
        pass
    names = f" or one of {', '.join(labels)}" if labels else ""
    raise ValueError(f"{where}: expected a whole number{names}, got {given!r}")


def _channel_names(about: dict[str, Any], file: Path) -> tuple[str, ...]:
    """A list, or {"0": name} (Decathlon's modality, nnU-Net's channel_names)."""
    key = next((k for k in ("channels", "modality", "channel_names") if about.get(k)), None)
    names = about[key] if key else []
    if isinstance(names, dict) and all(str(k).isdigit() for k in names):
        names = [names[k] for k in sorted(names, key=int)]
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"{file}: {key} must be a list of names or a mapping {{0: name}}, got {names!r}")
    return tuple(names)
