"""Jobs in processes of their own: done, failed, tried again, stopped, held by another."""

import json
import threading
import time
from dataclasses import replace

import pytest
from filelock import FileLock

from halfmask.study.alone import alone
from halfmask.study.crew import local
from halfmask.study.job import LOCK, Job, Need, read_job
from halfmask.study.room import Room
from halfmask.study.runner import carry_out
from halfmask.study.supervise import supervise
from halfmask.training.interrupt import Stopped

METHODS = ("methods", "supervised")
"""A command that does little and succeeds."""


def wait_for(happened):
    until = time.monotonic() + 120
    while not happened() and time.monotonic() < until:
        time.sleep(0.05)


@pytest.fixture
def job(tmp_path):
    def make(name, *commands, needs=()):
        return Job(name, tmp_path, tmp_path / name, tuple(commands), needs, Need())

    return make


def test_a_job_leaves_its_commands_its_log_and_that_it_is_done(job, tmp_path):
    made = job("fine", METHODS, ("methods", "mean_teacher"))
    assert not made.is_done()
    outcome = supervise(made, {}, tmp_path / "stop")
    assert outcome.state == "done" and made.is_done() and read_job(made.folder).commands == made.commands
    log = (made.folder / "log.txt").read_text()
    assert log.count("$ halfmask methods") == 2
    assert supervise(made, {}, tmp_path / "stop").seconds < 0.5  # nothing is repeated
    assert (made.folder / "log.txt").read_text() == log
    assert not job("fine", METHODS).is_done()  # other commands are another job
    assert "mean_teacher" in job("fine", METHODS).differs()


def test_a_user_s_mistake_is_told_and_not_tried_again(job, tmp_path):
    made = job("wrong", METHODS, ("methods", "mean_techer"), ("methods", "fixmatch"))
    outcome = supervise(made, {}, tmp_path / "stop")
    assert outcome.state == "failed"
    assert outcome.error == "no method is called 'mean_techer'; did you mean 'mean_teacher'?"
    log = (made.folder / "log.txt").read_text()
    assert log.count("mean_techer'") == 1 and "$ halfmask methods fixmatch" not in log


def test_what_fails_for_no_fault_of_the_user_s_is_tried_once_more(job, tmp_path):
    made = job("broken", ("train", "supervised"))  # options are lacking: click's own error, not ours
    outcome = supervise(made, {}, tmp_path / "stop")
    assert outcome.state == "failed" and outcome.error
    assert (made.folder / "log.txt").read_text().count("$ halfmask train") == 2


def test_a_job_that_another_process_holds_is_waited_for(job, tmp_path):
    made = job("held", METHODS)
    made.folder.mkdir()
    lock, found = FileLock(made.folder / LOCK), []
    thread = threading.Thread(target=lambda: found.append(supervise(made, {}, tmp_path / "stop")))
    with lock:
        thread.start()
        time.sleep(3)
        assert not found  # and when the other has done it, there is nothing left to do
        made.mark_done(1.0)
    thread.join(30)
    assert found[0].state == "done" and "$ halfmask" not in (made.folder / "log.txt").read_text()


def test_a_stop_ends_a_training_within_its_step_and_saved(job, prepared, tmp_path):
    store = str(prepared(2).path.resolve())
    made = job("long", ("train", "supervised", store, "--out", "run", "--steps", "1000000", "--validations", "0"))
    begun = tmp_path / "run" / "journal.jsonl"
    thread = threading.Thread(target=lambda: [wait_for(begun.exists), (tmp_path / "stop").touch()])
    thread.start()
    assert supervise(made, {}, tmp_path / "stop").state == "stopped"
    thread.join()
    assert (tmp_path / "run" / "last.pt").is_file() and not made.is_done()


def test_one_failure_takes_down_those_that_need_it_and_no_others(job, tmp_path):
    jobs = [
        job("prepared", METHODS),
        job("lost", ("methods", "nonsense"), needs=("prepared",)),
        job("doomed", METHODS, needs=("lost",)),
        job("fine", METHODS, needs=("prepared",)),
    ]
    seen = []
    with local(Room(2, 10)) as crew:
        outcomes = carry_out(jobs, crew, tmp_path, watch=lambda outcomes, running: seen.append(set(running)))
    assert {name: o.state for name, o in outcomes.items()} == {
        "prepared": "done", "lost": "failed", "doomed": "failed", "fine": "done",
    }  # fmt: skip
    assert "'lost', which it needs, was not done" in outcomes["doomed"].error
    assert seen[0] == {"prepared"} and {"lost", "fine"} in seen  # side by side, after what they need
    assert json.loads((tmp_path / "fine" / "job.json").read_text())["commands"] == [list(METHODS)]


def test_a_stop_from_elsewhere_is_no_success(job, tmp_path):
    jobs = [job("long", *[METHODS] * 200), job("next", METHODS)]
    threading.Timer(1.5, (tmp_path / "stop").touch).start()
    with local(Room(1, 10)) as crew, pytest.raises(Stopped, match="stopped with 2 of 2 left"):
        carry_out(jobs, crew, tmp_path)
    assert not (tmp_path / "next").exists()


def test_an_error_here_leaves_no_job_to_itself(job, tmp_path):
    """As of a full disk when the manifest is written: what runs would go on for hours, unseen."""

    def full(outcomes, running):
        if (tmp_path / "long" / "log.txt").exists():
            raise OSError(28, "No space left on device")

    began = time.monotonic()
    with pytest.raises(OSError, match="No space left"), local(Room(1, 10)) as crew:
        carry_out([job("long", *[METHODS] * 20000)], crew, tmp_path, watch=full)
    assert time.monotonic() - began < 30


def test_what_was_done_before_keeps_its_time(job, tmp_path):
    made = job("fine", METHODS)
    made.mark_done(12.34)
    with local(Room(1, 10)) as crew:
        assert carry_out([made], crew, tmp_path)["fine"].seconds == 12.3


def test_a_job_from_other_data_is_another_job(job, tmp_path):
    """The same commands on a store with other splits: neither is it done, nor may it go on in that folder."""
    made = replace(job("fine", METHODS), given="one")
    assert supervise(made, {}, tmp_path / "stop").state == "done" and made.is_done() and not made.differs()
    other = replace(made, given="two")
    assert not other.is_done() and "other splits" in other.differs()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"commands": 5}', '{"commands": [5]}', '{"seconds": "x"}'])
def test_broken_notes_are_as_none(job, text):
    made = job("broken", METHODS)
    made.folder.mkdir()
    for name in ("job.json", "done.json"):
        (made.folder / name).write_text(text)
    assert not made.is_done() and made.differs() == "" and made.seconds() == 0.0


def test_two_studies_in_one_folder_exclude_each_other(tmp_path):
    with alone(tmp_path / "out"):
        (tmp_path / "out" / "stop").touch()
        with pytest.raises(ValueError, match="another process works on the study"), alone(tmp_path / "out"):
            pass
        assert (tmp_path / "out" / "stop").exists()  # the word is for the first
    with alone(tmp_path / "out"):
        assert not (tmp_path / "out" / "stop").exists()
    with pytest.raises(ValueError, match="is not a folder"), alone(tmp_path / "out" / ".lock"):
        pass
