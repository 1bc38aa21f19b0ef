"""From a data set to a store: check and prepare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from halfmask.verbs.arguments import (
    Channels,
    Classes,
    Doc,
    Domain,
    Group,
    Label,
    Workers,
    expression,
    millimeters,
    names,
    plan_fields,
    require,
    worker_count,
)
from halfmask.verbs.arguments import (
    channels as named_channels,
)
from halfmask.verbs.heads import asked_brains, stored_brains

if TYPE_CHECKING:
    from halfmask.data.index import Fault


def check(
    data: Annotated[Path, Doc("The data set: a folder or a CSV table.")],
    /,
    *,
    group: Group = None,
    domain: Domain = None,
    channels: Channels = None,
    label: Label = None,
    classes: Classes = None,
    out: Annotated[Path | None, Doc("Also write the faults as a CSV table.")] = None,
    workers: Workers = None,
) -> list[Fault]:
    """Read every image and label and list all faults, each with case, file and remedy."""
    from halfmask.data import check as checking
    from halfmask.data.layouts import read_index
    from halfmask.data.parallel import workers as pool

    index = read_index(
        data, group=group, domain=domain, classes=names(classes), channels=named_channels(channels),
        label=expression(label, "label"),
    )  # fmt: skip
    with pool(worker_count(workers)) as executor:
        faults = checking.check(index, executor=executor)
    if out is not None:
        import pandas as pd

        from halfmask.data.atomic import atomic

        with atomic(out) as partial:
            columns = ["severity", "case", "file", "what", "remedy"]
            pd.DataFrame([vars(f) for f in faults], columns=columns).to_csv(partial, index=False)
    for fault in faults:
        print(f"{fault.severity}: {fault}")
    errors = sum(f.severity == "error" for f in faults)
    labeled = sum(c.labeled for c in index.cases)
    print(f"{len(index.cases)} cases, {labeled} with a label: {errors} errors, {len(faults) - errors} warnings")
    return faults


def prepare(
    data: Annotated[Path, Doc("The data set: a folder or a CSV table.")],
    /,
    *,
    out: Annotated[Path, Doc("The store to make; edit its plan.yaml or splits.yaml and run again to change it.")],
    group: Group = None,
    domain: Domain = None,
    channels: Channels = None,
    label: Label = None,
    classes: Classes = None,
    test: Annotated[
        float | None, Doc("Share of the labeled cases to seal, unless the data set says which; 0.2 unless given.")
    ] = None,
    folds: Annotated[
        int | None,
        Doc("Of cross-validation, unless the data set has a validation part; 5 unless given, 1 holds out nothing."),
    ] = None,
    stratify: Annotated[
        bool | None, Doc("Take equally many patients from each domain (site) for testing and for each fold.")
    ] = None,
    seed: Annotated[int | None, Doc("Of the random splits; 0 unless given.")] = None,
    dims: Annotated[int | None, Doc("2 or 3; the plan decides unless given.")] = None,
    spacing: Annotated[
        str | None, Doc("mm of a prepared voxel as 10,2,2, or within slices as 2,2; the plan decides unless given.")
    ] = None,
    memory: Annotated[
        float | None, Doc("GiB that training may take; the patch follows from it; 8 unless given.")
    ] = None,
    ignore_value: Annotated[int | None, Doc("Label value of voxels that nobody annotated.")] = None,
    set: Annotated[list[str] | None, Doc("A field of plan.yaml, decided by hand, as patch=96,96.")] = None,
    workers: Workers = None,
) -> None:
    """Check the data set, plan, split, and store it ready for training; goes on where it was stopped."""
    from halfmask.data import prepare as preparing
    from halfmask.data.layouts import read_index
    from halfmask.data.parallel import workers as pool
    from halfmask.data.split import counted

    require(
        (test is None or 0 <= test < 1, f"--test is a share in [0, 1), got {test}"),
        (folds is None or folds >= 1, f"--folds is at least 1, got {folds}"),
        (dims in (None, 2, 3), f"--dims is 2 or 3, got {dims}"),
        (memory is None or memory > 0, f"--memory is a number of GiB above 0, got {memory}"),
    )
    index = read_index(
        data, group=group, domain=domain, classes=names(classes), channels=named_channels(channels),
        label=expression(label, "label"),
    )  # fmt: skip
    fields = plan_fields(set)
    with pool(worker_count(workers)) as executor:
        if (asked := asked_brains(out, fields)) is not None:
            drawing: dict[str, Any] = {"test": test, "seed": seed, "folds": folds, "stratify": stratify}
            index, fields["brain"] = stored_brains(index, out, asked, drawing, executor)
        store = preparing.prepare(
            index, out, test=test, seed=seed, folds=folds, stratify=stratify,
            dims=dims, spacing=millimeters(spacing),  # type: ignore[arg-type]
            memory_gib=memory, ignore_value=ignore_value, fields=fields, executor=executor,
        )  # fmt: skip
    plan, splits = store.plan, store.splits
    print(f"{len(store.stored)} cases stored in {out}, {len(splits.test)} sealed, {len(splits.folds)} folds")
    print(f"{plan.dims}D, patch {'×'.join(map(str, plan.patch))}, batch {plan.labeled}+{plan.unlabeled}, classes "
          f"{', '.join(plan.labels)}")  # fmt: skip
    for name, (cases, known) in counted(index).items():
        print(f"domain {name}: {cases} cases, {known} with a label")
    if not splits.test:
        print("no case is sealed, so nothing can be tested: too few cases have labels, or --test 0 was given")
    if not any(splits.folds):
        print("no case is left to validate on: the last step is what counts")
    if splits.listed:
        print("labels are given in the order of the data set's own lists, whatever the seed")
    for reason in plan.why:
        print(f"  {reason}")
