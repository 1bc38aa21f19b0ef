import inspect
import re
import subprocess
import sys

import pytest

from halfmask import cli, verbs

GROUPS = {group.name: group.typer_instance for group in cli.app.registered_groups}
COMMANDS = {c.name: ([c.name], c.callback) for c in cli.app.registered_commands} | {
    f"{c.name}_{name}": ([name, c.name], c.callback) for name, app in GROUPS.items() for c in app.registered_commands
}
"""Verb to the words that call it (get_data: data get), and what they call."""
VERBS = list(COMMANDS)
HEAVY = {"torch", "numpy", "pandas", "scipy", "monai", "nibabel", "SimpleITK", "blosc2", "lightning_fabric"}


@pytest.fixture
def halfmask(monkeypatch, capsys):
    """Run a command line here: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["halfmask", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as e:  # a text is what Python prints before it ends with 1
            code = e.code or 0
            if isinstance(code, str):
                print(code, file=sys.stderr)
                code = 1
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


def says(result, pattern, lines=1):
    code, _, error = result
    assert code == 1, error
    told = [line for line in error.splitlines() if not re.match(r"\d\d:\d\d:\d\d ", line)]
    assert len(told) == lines, error
    assert told[0].startswith("error: ")
    assert "Traceback" not in error
    assert re.search(pattern, error), error


# ---------------------------------------------------------------------------- what there is


def test_every_public_verb_is_a_command():
    assert sorted(VERBS) == verbs.__all__
    assert all(inspect.isfunction(getattr(verbs, name)) for name in VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_a_command_has_the_arguments_of_its_verb(name):
    verb = inspect.signature(getattr(verbs, name)).parameters
    _, command = COMMANDS[name]
    parameters = inspect.signature(command).parameters
    assert list(parameters) == list(verb)
    assert [p.default for p in parameters.values()] == [p.default for p in verb.values()]
    assert inspect.getdoc(command) == inspect.getdoc(getattr(verbs, name))


def test_help_names_every_option_and_imports_nothing_heavy():
    """One process for all, as each import is paid for once."""
    script = (
        "import sys\nfrom halfmask import cli\n"
        f"for words in {[[], *(words for words, _ in COMMANDS.values())]}:\n"
        "    sys.argv = ['halfmask', *words, '--help']\n"
        "    try:\n        cli.main()\n    except SystemExit as e:\n        assert not e.code, e.code\n"
        f"heavy = sorted({HEAVY} & set(sys.modules))\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={"COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    for name, (words, _) in COMMANDS.items():
        assert " ".join(words) in done.stdout
        for p in inspect.signature(getattr(verbs, name)).parameters.values():
            if p.kind is p.KEYWORD_ONLY:
                assert f"--{p.name.replace('_', '-')}" in done.stdout


def test_version_and_methods(halfmask):
    assert halfmask("--version") == (0, "0.1.0\n", "")
    code, out, _ = halfmask("methods")
    assert code == 0
    assert "mean_teacher (semisupervised)" in out
    assert "decay=0.99" in out
    code, out, _ = halfmask("methods", "fixmatch")
    assert (code, "--set threshold=0.95" in out, "arXiv:2001.07685" in out) == (0, True, True)


# ---------------------------------------------------------------------------- what users get wrong


def test_no_store(halfmask, tmp_path):
    says(
        halfmask("train", "supervised", tmp_path / "no", "--out", tmp_path / "run"),
        "no is no finished store; run `half",
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mean_techer"], "no method is called 'mean_techer'; did you mean 'mean_teacher'"),
        (["mean_teacher", "--set", "wieght=1"], "has no setting 'wieght'; did you mean 'weight'"),
        (["mean_teacher", "--set", "weight=much"], "weight = 'much' should be a valid number"),
        (["mean_teacher", "--set", "weight=-1"], "weight = '-1' should be greater than or equal to 0"),
        (["mean_teacher", "--set", "weight=nan"], "weight = 'nan' should be a finite number"),
        (["mean_teacher", "--set", "weight=inf"], "weight = 'inf' should be a finite number"),
        (["mean_teacher", "--set", "decay=2"], "decay = '2' should be less than or equal to 1"),
        (["mean_teacher", "--set", "noise=-1"], "noise = '-1' should be greater than or equal to 0"),
        (["cross_pseudo_supervision", "--set", "weight=-1"], "weight = '-1' should be greater"),
        (["fixmatch", "--set", "threshold=2"], "threshold = '2' should be less than or equal to 1"),
        (["fixmatch", "--set", "weight=-1"], "weight = '-1' should be greater"),
        (["fixmatch", "--set", "network.width=0"], "network 'unet': width = '0' should be greater than or equal to 1"),
        (["mean_teacher", "--set", "weight"], "--set takes name=value, got 'weight'"),
        (["mean_teacher", "--set", "on=half"], "on = 'half'.*'unlabeled' or 'all'"),
        (["mean_teacher", "--batch", "two"], "--batch is labeled.unlabeled images such as 2.2, got 'two'"),
        (["mean_teacher", "--batch", "0+2"], "--batch is .* got '0.2'"),
        (["mean_teacher", "--batch", "2+0"], "learns from unlabeled images, a batch of 2.0 has none"),
        (["mean_teacher", "--labels", "99"], "fold 0 has 4 labeled groups to train on, 99 were asked for"),
        (["mean_teacher", "--labels", "some"], "--labels is a count such as 8 or a share"),
        (["mean_teacher", "--labels", "150%"], r"a share of labels lies in \(0, 1\], got 1.5"),
        (["mean_teacher", "--labels", "nan"], "--labels is a count such as 8 or a share"),
        (["mean_teacher", "--labels", "inf"], "--labels is a count such as 8 or a share"),
        (["mean_teacher", "--fold", "7"], "there is no fold 7; splits.yaml has folds 0 to 4"),
        (["mean_teacher", "--network", "unett"], "no network is called 'unett'; did you mean 'unet'"),
        (["mean_teacher", "--slices", "0"], r"--slices is a share in \(0, 1\], got 0"),
        (["mean_teacher", "--steps", "0"], "--steps is at least 1, got 0"),
        (["mean_teacher", "--rate", "-1"], "--rate .*-1"),
        (["mean_teacher", "--momentum", "1"], r"--momentum is a number in \[0, 1\), got 1"),
        (["mean_teacher", "--momentum", "nan"], "--momentum .*nan"),
        (["mean_teacher", "--momentum", "0.9", "--optimizer", "adam"], "momentum is a setting of sgd"),
        (["mean_teacher", "--weight-decay", "-1"], "--weight-decay is a number, 0 or more, got -1"),
        (["mean_teacher", "--weight-decay", "nan"], "--weight-decay .*nan"),
        (["mean_teacher", "--clip", "0"], "--clip is a number above 0, got 0"),
        (["mean_teacher", "--clip", "nan"], "--clip .*nan"),
        (["mean_teacher", "--validations", "-1"], "--validations .*-1"),
        (["mean_teacher", "--threads", "-1"], "--threads .*-1"),
        (["mean_teacher", "--init", "nowhere"], r"there is no run, file or hub name .*nowhere"),
        (["supervised", "--set", "network.norm=group"], "norm = 'group'"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_training_mistakes_are_told_in_one_line(halfmask, prepared, tmp_path, arguments, told):
    method, *options = arguments
    says(halfmask("train", method, prepared(2).path, "--out", tmp_path / "run", "--steps", 1, *options), told)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_several_mistakes_are_told_together(halfmask, prepared, tmp_path):
    wrong = ["--set", "wieght=1", "--set", "network.widht=3", "--set", "dekay=1"]
    result = halfmask("train", "mean_teacher", prepared(2).path, "--out", tmp_path / "run", *wrong)
    says(result, "(?s)'wieght'; did you mean 'weight'.*'dekay'; did you mean 'decay'.*'widht'; did you mean 'width'", 3)


def test_a_computer_without_the_device(halfmask, prepared, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    command = ["supervised", prepared(2).path, "--out", tmp_path / "run", "--device", "cuda"]
    says(halfmask("train", *command), "cuda|CUDA")


def test_predict_and_evaluate_mistakes(halfmask, tmp_path):
    says(halfmask("predict", tmp_path, "--out", tmp_path / "out"), "give either IMAGES or --split")
    says(halfmask("predict", tmp_path, tmp_path, "--out", tmp_path / "out"), r"holds no last\.pt")
    says(halfmask("evaluate", tmp_path, tmp_path, "--out", tmp_path / "t.csv", "--workers", 1), "holds no masks")
    says(halfmask("prepare", tmp_path / "no", "--out", tmp_path / "out", "--workers", 1), "no")
    says(
        halfmask("prepare", tmp_path, "--out", tmp_path / "out", "--test", "2"), r"--test is a share in \[0, 1\), got 2"
    )


def test_debug_shows_where(halfmask, tmp_path):
    with pytest.raises(ValueError, match="is no finished store"):
        halfmask("--debug", "train", "supervised", tmp_path / "no", "--out", tmp_path / "run")


def test_our_own_faults_show_where(halfmask, monkeypatch, tmp_path):
    """An error that is no user's mistake is not made to look like one."""
    import halfmask.data.store as store

    monkeypatch.setattr(store, "Store", lambda path: {}["bug"])
    with pytest.raises(KeyError):
        halfmask("train", "supervised", tmp_path, "--out", tmp_path / "run")


# ---------------------------------------------------------------------------- check


def test_check_ends_with_1_for_errors_and_0_for_warnings(halfmask, cohort, tmp_path):
    code, out, _ = halfmask("check", cohort, "--workers", 1)
    assert code == 0
    assert "8 cases, 6 with a label: 0 errors" in out

    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(cohort, broken)
    torn = next((broken / "imagesTr").iterdir())
    torn.write_bytes(torn.read_bytes()[:1000])
    code, out, _ = halfmask("check", broken, "--workers", 1, "--out", tmp_path / "faults.csv")
    assert code == 1
    assert "1 errors" in out
    assert torn.name in (tmp_path / "faults.csv").read_text()
