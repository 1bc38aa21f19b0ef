"""From a trained run to masks and figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from halfmask.verbs.adaptation import Domain, Rate, Steps, TestTime, adaptation_of, noted, with_domain
from halfmask.verbs.arguments import Channels, Device, Doc, Format, Label, Workers, expression, require, worker_count
from halfmask.verbs.arguments import channels as named_channels
from halfmask.verbs.classes import evaluate_classes, predict_classes
from halfmask.verbs.heads import is_brains, predict_heads, predicted_brains

if TYPE_CHECKING:
    import pandas as pd


def predict(
    run: Annotated[Path, Doc("A trained run; nothing else of the training is needed.")],
    images: Annotated[Path | None, Doc("A data set, a folder of images or one image.")] = None,
    /,
    *,
    out: Annotated[
        Path | None, Doc("The folder for the masks, or for a table of classes; RUN/masks or RUN/classes with --split.")
    ] = None,
    split: Annotated[
        Literal["test", "fold"] | None,
        Doc("Instead of IMAGES, of the run's store: the sealed cases, or those that its fold holds out."),
    ] = None,
    store: Annotated[Path | None, Doc("That store, if it has moved since.")] = None,
    checkpoint: Annotated[Literal["last", "best"], Doc("The last step, or the best in validation.")] = "last",
    flips: Annotated[bool, Doc("Average over the mirrorings that the plan allows.")] = False,
    overlap: Annotated[float, Doc("Of neighboring windows, in [0, 1).")] = 0.5,
    probability: Annotated[bool, Doc("Also write each class's probability.")] = False,
    entropy: Annotated[bool, Doc("Also write the entropy, 0 sure to 1 undecided.")] = False,
    saliency: Annotated[bool, Doc("Of whole images: also write maps of where the network looked.")] = False,
    format: Format = None,
    channels: Channels = None,
    domain: Domain = None,
    test_time: TestTime = None,
    test_time_steps: Steps = None,
    test_time_rate: Rate = None,
    device: Device = "auto",
) -> list[Path]:
    """Write a mask for each image, in the image's own geometry and format; or a table of what whole images show."""
    from halfmask.data.layouts import read_images
    from halfmask.data.store import BRAINS, Store
    from halfmask.evaluation import note
    from halfmask.inference.predict import predict_cases
    from halfmask.inference.test_time import refuse_unfit
    from halfmask.learning.method import Classifier
    from halfmask.training.device import make_class_predictor, make_fabric, make_predictor
    from halfmask.training.run import load_run
    from halfmask.training.seen import held_out, sealed

    if (images is None) == (split is None):
        raise ValueError("give either IMAGES or --split")
    if channels is not None and images is None:
        raise ValueError("--channels chooses among IMAGES; the store of --split knows its own")
    if not 0 <= overlap < 1:
        raise ValueError(f"--overlap lies in [0, 1), got {overlap}")
    if out is None and split is None:
        raise ValueError("give --out, the folder for the masks; only --split has a place of its own in RUN")
    if split == "fold" and checkpoint == "best":
        raise ValueError(
            "the cases that the fold holds out chose best.pt, so they cannot test it; use --checkpoint last"
        )
    adaptation = adaptation_of(test_time, test_time_steps, test_time_rate)
    plan, told, method, rest = load_run(run, f"{checkpoint}.pt")
    if adaptation is not None:
        refuse_unfit(method, adaptation)
    if split is not None:
        opened = Store(store or Path(rest["store"]))
        names = sealed(opened, rest, run) if split == "test" else held_out(opened, rest, run, fold=told.fold)
        cases = [opened.sources[name] for name in names]
    else:
        assert images is not None
        patterns = named_channels(channels)
        cases = read_images(images, channels=len(plan.channels), patterns=patterns, names=plan.channels)
    sides = rest.get("domains") or {}
    cases = with_domain(cases, domain, sides, run)
    heads = cases if plan.brain is not None and images is not None and not is_brains(images, plan) else None
    fabric = make_fabric(device)
    if fabric.device.type == "cuda":
        fabric = make_fabric(device, told.precision)
    method.to(fabric.device)
    about = {"run": str(run.resolve()), "method": told.method, "checkpoint": checkpoint, "flips": flips}
    about |= {name: value for name, value in (("format", format), ("channels", channels)) if value is not None}
    about |= {"split": split, "source": None if images is None else str(images.resolve())}
    if isinstance(method, Classifier):
        require(
            (not probability, "--probability writes maps; the table holds each image's probabilities anyway"),
            (not entropy, "--entropy writes maps, and whole images have none"),
            (overlap == 0.5, "--overlap is of windows, and whole images are seen at once"),
            (format is None, "--format is of masks and their maps, and whole images have a table"),
            (domain is None, "--domain chooses statistics of normalization, and those of whole images are one for all"),
        )
        cases, failed = (cases, []) if heads is None else predicted_brains(heads, plan, (out or run) / BRAINS)
        classified = make_class_predictor(method, plan, fabric, flips=flips)
        table = predict_classes(cases, classified, out or run / "classes", about, saliency=saliency)
        if failed:
            raise ValueError("\n".join(failed))
        return [table]
    require((not saliency, "--saliency is of whole images' classes; a mask shows by itself what was looked at"))
    out, about = out or run / "masks", about | {"overlap": overlap} | noted(domain, adaptation)
    source = sides.get("source", ())
    predictor = make_predictor(method, plan, fabric, flips=flips, overlap=overlap, source=source, adaptation=adaptation)
    note.forget(out)
    written = partial(predict_cases, predictor=predictor, probability=probability, entropy=entropy, about=about)
    make = lambda brains, folder: written(brains, out=folder)
    if heads is None:
        masks = written(cases, out=out, kind=format)
    else:
        masks = predict_heads(heads, plan, out, make, names=predictor.values, kind=format)
    print(f"{len(masks)} masks in {out}")
    return masks


def evaluate(
    predictions: Annotated[Path, Doc("The folder of masks that `halfmask predict` wrote.")],
    labels: Annotated[Path, Doc("The data set, its table, or a folder of label files of the same names.")],
    /,
    *,
    out: Annotated[
        Path | None,
        Doc("The CSV table, a row for each case and class or region; PREDICTIONS/metrics.csv unless given."),
    ] = None,
    ignore_value: Annotated[
        int | None, Doc("Label value of voxels that nobody annotated; what was prepared with unless given.")
    ] = None,
    channels: Channels = None,
    label: Label = None,
    workers: Workers = None,
) -> pd.DataFrame:
    """Compare masks with labels, case by case; clusters are named by the labels. Or classes of whole images."""
    from halfmask.data.parallel import workers as pool
    from halfmask.evaluation import class_truth, compare, domains, naming, note, table

    out = out or predictions / "metrics.csv"
    if class_truth.classifies(predictions):
        require(
            (ignore_value is None, "--ignore-value is of masks, and the class of a whole image is known or empty"),
            (channels is None and label is None, "--channels and --label choose images and masks, not classes"),
        )
        return evaluate_classes(predictions, labels, out)
    matched = compare.match(
        predictions, labels, ignore=ignore_value, channels=named_channels(channels), label=expression(label, "label")
    )
    named: list[str] = []
    with pool(worker_count(workers)) as executor:
        if clusters := naming.unnamed(predictions):
            place = predictions / naming.NAMED
            matched, named = naming.name_clusters(matched, clusters, place, executor=executor)
            told = ", ".join(f"{number} is {name}" for number, name in enumerate(named))
            print(f"The labels of these {len(matched.pairs)} cases named the clusters: {told}; named masks in {place}")
        result = compare.measured(matched, executor=executor)
    table.write(result, out)
    note.write(predictions, labels, matched, out, named, {"channels": channels, "label": label})
    table.write(domains.summaries(result, matched.domains), out.with_name(f"{out.stem}-summary{out.suffix}"))
    parts = domains.apart(result, matched.domains)
    for name, rows in parts.items():
        shown = table.render(table.summary(rows), domains.SHOWN)
        print(f"Domain {name}, cases: {rows['case'].nunique()}\n{shown}\n")
    print("All domains\n" * bool(parts) + table.render(table.summary(result)))
    print(f"{result['case'].nunique()} cases; each in {out}")
    return result


def report(
    runs: Annotated[
        list[Path], Doc("Runs, with masks in RUN/masks or classes in RUN/classes; folders of either; or one study.")
    ],
    /,
    *,
    out: Annotated[Path, Doc("The page to write, one file that needs no other.")] = Path("report.html"),
) -> Path:
    """Set runs side by side on one page: figures, tests, curves, pictures and settings.

    Of a study there are also table.md and table.tex beside it.
    """
    from halfmask.data.atomic import write_text
    from halfmask.report.classification_page import classification_page
    from halfmask.report.gather import gather
    from halfmask.report.page import page
    from halfmask.report.study import is_study
    from halfmask.report.study_page import study_page, study_tables

    studies = [folder for folder in runs if is_study(folder)]
    if studies and len(runs) > 1:
        raise ValueError(f"{studies[0]} is a study, which has a report of its own; give it alone")
    if studies:
        made = study_page(studies[0])
        for name, text in study_tables(studies[0]).items():
            write_text(out.parent / name, text)
    else:
        entries = gather(runs)
        made = (classification_page if any(entry.classifies for entry in entries) else page)(entries)
    write_text(out, made.html)
    for line in (*made.missing, made.summary, f"The report is in {out}"):
        print(line)
    return out
