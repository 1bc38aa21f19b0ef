"""Methods, labels, folds and seeds against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from halfmask.verbs.arguments import Device, Doc, millimeters, require

if TYPE_CHECKING:
    import pandas as pd


def study(
    file: Annotated[Path, Doc("The study file, YAML: data, methods, labels, folds, seeds.")],
    /,
    *,
    out: Annotated[Path, Doc("The study's folder: store, runs, table, report. The same command goes on in it.")],
    data: Annotated[Path | None, Doc("The data set, if the study file names none, or another is meant.")] = None,
    pretraining_data: Annotated[Path | None, Doc("The data set of pre-training, where that has its own.")] = None,
    dry_run: Annotated[bool, Doc("Print the runs, what is missing, and what all would take; leave nothing.")] = False,
    smoke: Annotated[bool, Doc("Try it in minutes: few steps on a made-up cohort. Its figures mean nothing.")] = False,
    skip_missing: Annotated[bool, Doc("Go without methods that this version does not have.")] = False,
    parallel: Annotated[int | None, Doc("Runs at once on this computer; as many as fit unless given.")] = None,
    cluster: Annotated[
        str | None, Doc("A Dask cluster to run on: its scheduler's address, tcp://…, or slurm:N for N jobs.")
    ] = None,
    device: Device = "auto",
) -> pd.DataFrame | None:
    """Carry out a study and report on it; goes on where it was stopped, and one failing run stops no other."""
    from halfmask.report.study import read_study as read_results
    from halfmask.study import crew as crews
    from halfmask.study.alone import alone
    from halfmask.study.conduct import conduct, prepare
    from halfmask.study.forecast import forecast, told
    from halfmask.study.grid import arms
    from halfmask.study.jobs import Place
    from halfmask.study.protocol import read_study
    from halfmask.study.room import this_room
    from halfmask.study.smoke import make_small
    from halfmask.training.device import check_devices
    from halfmask.verbs.results import report

    require((parallel is None or parallel >= 1, f"--parallel is at least 1, got {parallel}"))
    check_devices(device, 1)
    planned = read_study(file)
    data = data or (None if planned.data is None else file.parent / planned.data)
    place = None if data is None or smoke else Place(out.resolve(), data.resolve(), _resolved(pretraining_data))
    room = this_room(parallel=parallel, device=device)
    if dry_run:
        with crews.local(room) as crew:
            seen = forecast(planned, place, crew, spacing=millimeters(planned.prepare.spacing), device=device)
        print("\n".join(told(seen)))
        return None
    if place is None and not smoke:
        raise ValueError(f"{file} names no data; give --data, or --smoke to try it on a made-up cohort")
    lacking = [f"{arm.title}: {arm.missing}" for arm in arms(planned) if arm.missing]
    if lacking and not (skip_missing or smoke):
        raise ValueError("\n".join([*lacking, "give --skip-missing to go without these arms"]))
    with alone(out):
        if place is None:
            planned, place = make_small(planned, Place(out.resolve(), out.resolve()))
        with crews.cluster(cluster) if cluster else crews.local(room) as crew:
            store = prepare(planned, place, crew)
            outcomes = conduct(planned, place, store, crew, device=device, smoke=smoke)
        report([out], out=out / "report.html")
    failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.state == "failed"}
    if failed:
        some = [f"{name}: {error.splitlines()[0]}" for name, error in list(failed.items())[:5]]
        raise ValueError(
            "\n".join([f"{len(failed)} of {len(outcomes)} runs failed; the same command tries them again:", *some])
        )
    return read_results(out).table


def _resolved(path: Path | None) -> Path | None:
    return None if path is None else path.resolve()
