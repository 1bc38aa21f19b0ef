"""Downloads from a server of this computer: broken, changed, wrong, refused, and whole."""

import contextlib
import functools
import hashlib
import http.server
import io
import json
import re
import sys
import tarfile
import threading
import zipfile

import numpy as np
import pytest
import yaml
from filelock import FileLock
from made import blob, nifti
from PIL import Image

from halfmask import cli, verbs
from halfmask.data.download import fetch as fetching
from halfmask.data.download.fetch import fetch
from halfmask.data.download.get import get
from halfmask.data.download.table import DataSet, Remote, find, read_table
from halfmask.data.layouts import read_index


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` (name to bytes) and notes each request (name, status, bytes sent).

    Attributes:
        breaks: how many bytes to send of each answer before the connection ends, one an answer.
        refuses: statuses to answer with first.
        ranges: whether it knows Range.
        careless: whether it answers Range whatever If-Range says.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests = {}, []
        self.breaks, self.refuses, self.ranges, self.careless = [], [], True, False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def sent(self, name):
        return [(status, count) for asked, status, count in self.requests if asked == name]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, name = self.server, self.path.rpartition("/")[2]
        data = server.files.get(name)
        if data is None or server.refuses:
            status = server.refuses.pop(0) if server.refuses else 404
            server.requests.append((name, status, 0))
            return self.send_error(status)
        tag = '"' + hashlib.md5(data).hexdigest() + '"'
        start = int(self.headers["Range"].removeprefix("bytes=")[:-1]) if self.headers["Range"] else 0
        same = server.careless or self.headers["If-Range"] in (None, tag)
        partial = bool(self.headers["Range"]) and server.ranges and same
        if partial and start >= len(data):
            server.requests.append((name, 416, 0))
            return self.send_error(416)
        body = data[start:] if partial else data
        self.send_response(206 if partial else 200)
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", tag)
        self.end_headers()
        part = body[: server.breaks.pop(0)] if server.breaks else body
        server.requests.append((name, 206 if partial else 200, len(part)))
        self.wfile.write(part)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as one:
        thread = threading.Thread(target=functools.partial(one.serve_forever, poll_interval=0.01), daemon=True)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture
def data():
    return np.random.default_rng(0).bytes(300_000)


def md5(data):
    return "md5:" + hashlib.md5(data).hexdigest()


def made(server, name="Some", layout="lift", classes=(), **files):
    """A data set of files on the server; an entry is bytes, or bytes with the checksum to expect, or a part too."""
    remotes = []
    for file, given in files.items():
        content, checksum, part = (*given, *("",) * 3)[:3] if isinstance(given, tuple) else (given, md5(given), "")
        server.files[file] = content
        remotes.append(Remote(file, f"{server.url}/{file}", checksum, part=part))
    return DataSet(name, "", "CC0", "page", "cite", "source", layout, tuple(remotes), tuple(classes))


def tar(files, links=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, to in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, to
            archive.addfile(member)
    return out.getvalue()


def packed(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def picture(array, kind="PNG"):
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind)
    return out.getvalue()


# ---------------------------------------------------------------------------- one file


def test_what_broke_off_is_gone_on_with(server, data, tmp_path):
    """Every byte is sent once, whether the connection breaks or the command is stopped."""
    server.files["f"], server.breaks = data, [100_000, 70_000]
    fetch(f"{server.url}/f", tmp_path / "f", pause=0)
    assert (tmp_path / "f").read_bytes() == data
    assert server.sent("f") == [(200, 100_000), (206, 70_000), (206, 130_000)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f"]


def test_a_weak_connection_is_not_given_up_while_bytes_come(server, data, tmp_path):
    server.files["f"], server.breaks = data, [20_000] * (2 * fetching.TRIES)
    fetch(f"{server.url}/f", tmp_path / "f", pause=0)
    assert (tmp_path / "f").read_bytes() == data


def test_stopped_by_hand(server, data, tmp_path, monkeypatch):
    server.files["f"], server.breaks = data, [120_000]
    monkeypatch.setattr(fetching.time, "sleep", lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        fetch(f"{server.url}/f", tmp_path / "f")
    assert (tmp_path / "f.part").stat().st_size == 120_000
    fetch(f"{server.url}/f", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == data
    assert server.sent("f")[1:] == [(206, 180_000)]


def test_a_server_without_range(server, data, tmp_path):
    server.files["f"], server.breaks, server.ranges = data, [100_000], False
    fetch(f"{server.url}/f", tmp_path / "f", pause=0)
    assert (tmp_path / "f").read_bytes() == data
    assert server.sent("f") == [(200, 100_000), (200, 300_000)]


@pytest.mark.parametrize("careless", [False, True])
@pytest.mark.parametrize("length", [300_000, 80_000, 100_000])
def test_a_file_that_changed_is_begun_anew(server, data, tmp_path, careless, length):
    """Also where the new one is shorter than the part, or just as long."""
    server.files["f"], server.breaks, server.careless = data, [100_000], careless
    with contextlib.suppress(OSError), pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "TRIES", 0)
        fetch(f"{server.url}/f", tmp_path / "f", pause=0)
    server.files["f"] = data[::-1][:length]
    fetch(f"{server.url}/f", tmp_path / "f", pause=0)
    assert (tmp_path / "f").read_bytes() == data[::-1][:length]


def test_a_part_that_is_whole_already(server, data, tmp_path):
    server.files["f"] = data
    tag = '"' + hashlib.md5(data).hexdigest() + '"'
    (tmp_path / "f.part").write_bytes(data)
    notes = {"url": f"{server.url}/f", "etag": tag, "modified": "", "size": len(data)}
    (tmp_path / "f.part.json").write_text(json.dumps(notes))
    fetch(f"{server.url}/f", tmp_path / "f", pause=0)
    assert server.sent("f") == [(416, 0)]
    assert (tmp_path / "f").read_bytes() == data


def test_a_server_that_refuses(server, data, tmp_path):
    server.files["f"], server.refuses = data, [503, 429]
    fetch(f"{server.url}/f", tmp_path / "f", pause=0)
    assert [status for status, _ in server.sent("f")] == [503, 429, 200]
    with pytest.raises(OSError, match="/gone cannot be downloaded: the server answers 404"):
        fetch(f"{server.url}/gone", tmp_path / "gone", pause=0)
    assert len(server.sent("gone")) == 1
    server.refuses = [500] * 9
    with pytest.raises(OSError, match=r"the server answers 500 .*, 5 times without a byte"):
        fetch(f"{server.url}/f", tmp_path / "g", pause=0)
    with pytest.raises(OSError, match=r"cannot be downloaded: .*refused.*5 times without a byte"):
        fetch("http://127.0.0.1:1/f", tmp_path / "h", pause=0)


def test_too_small_a_disk(server, data, tmp_path, monkeypatch):
    server.files["f"] = data
    monkeypatch.setattr(fetching, "SPARE", 10**18)
    with pytest.raises(OSError, match=r"0.00 GB are needed .* are free; make room or give another --out"):
        fetch(f"{server.url}/f", tmp_path / "f", pause=0)


# ---------------------------------------------------------------------------- a data set


def test_whole_and_then_left_alone(server, tmp_path):
    archive = tar({"Task/imagesTr/a.nii.gz": b"a", "Task/Task/b": b"b", "._Task": b"mac"})
    some = made(server, **{"Task.tar": archive})
    folder = get(some, tmp_path, pause=0)
    assert sorted(p.name for p in folder.iterdir()) == ["._Task", "Task", "imagesTr"]
    receipt = yaml.safe_load((tmp_path / "Some.source.yaml").read_text())
    assert receipt["files"]["Task.tar"] == {
        "url": f"{server.url}/Task.tar", "bytes": len(archive), "sha256": hashlib.sha256(archive).hexdigest()
    }  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Some", "Some.source.yaml"]
    get(some, tmp_path)
    assert len(server.requests) == 1


def test_a_wrong_checksum(server, data, tmp_path):
    """The file goes, so that the next try begins anew."""
    some = made(server, **{"f.npz": (data, md5(b"other"))})
    with pytest.raises(ValueError, match=rf"expected md5 {md5(b'other')[4:]}, got {md5(data)[4:]} \(300,000 bytes\)"):
        get(some, tmp_path, pause=0)
    assert not (tmp_path / "Some").exists()
    assert list((tmp_path / ".download-Some").iterdir()) == []


def test_no_checksum_but_the_last_one(server, tmp_path, capsys):
    archive = tar({"a": b"a"})
    some = made(server, **{"t.tar": (archive, "unknown")})
    (get(some, tmp_path, pause=0) / "a").unlink()
    assert "nobody published a checksum" in capsys.readouterr().err
    get(some, tmp_path, pause=0)
    assert (tmp_path / "Some" / "a").read_bytes() == b"a"
    (tmp_path / "Some" / "a").unlink()
    server.files["t.tar"] = tar({"a": b"b"})
    with pytest.raises(ValueError, match=r"as the last time \(.*Some.source.yaml; remove it to take the new file\)"):
        get(some, tmp_path, pause=0)


@pytest.mark.parametrize(
    "archive",
    [
        tar({"good": b"", "../evil": b""}),
        tar({"good": b""}, links=[("out", "../../evil")]),
        tar({"good": b""}, links=[("out", "/etc/passwd")]),
        packed({"good": b"", "../evil": b""}),
        packed({"good": b"", "/evil": b""}),
        packed({"good": b"", "a\\..\\..\\evil": b""}),
        packed({"good": b"", "C:evil": b""}),
        tar({"good": b"x" * 2000})[:700],
        packed({"good": b"x" * 2000})[:700],
    ],
)
def test_archives_that_must_not_or_cannot_be_unpacked(server, tmp_path, archive):
    name = "a.zip" if archive[:2] == b"PK" else "a.tar"
    with pytest.raises(ValueError, match="cannot be unpacked"):
        get(made(server, **{name: archive}), tmp_path / "out", pause=0)
    assert not list(tmp_path.rglob("evil"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".download-Some", "Some.source.yaml"]


def test_archives_that_are_spoiled_within_are_told_plainly(server, tmp_path):
    """With a right length, as after a transfer that went wrong: whatever zlib says of them."""
    spoil = lambda data, at: data[:at] + bytes(255 - b for b in data[at : at + 9]) + data[at + 9 :]
    noise = np.random.default_rng(0).bytes(3000)
    gz, zipped = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=gz, mode="w:gz") as file:
        about = tarfile.TarInfo("a")
        about.size = len(noise)
        file.addfile(about, io.BytesIO(noise))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", b"ab" * 2000)
    flagged = bytearray(zipped.getvalue())
    flagged[6] |= 1  # as of a file with a password
    flagged[flagged.index(b"PK\1\2") + 8] |= 1
    for name, data in (
        ("a.tar.gz", spoil(gz.getvalue(), 1500)), ("b.zip", spoil(zipped.getvalue(), 35)), ("c.zip", bytes(flagged))
    ):  # fmt: skip
        with pytest.raises(ValueError, match=rf"{name} cannot be unpacked: .*remove it"):
            get(made(server, **{name: data}), tmp_path / name, pause=0)


def test_two_at_one_download(server, data, tmp_path):
    """The second is turned away, and what the first has of the file stays as it is."""
    some = made(server, **{"f.npz": data})
    part = tmp_path / ".download-Some" / "f.npz.part"
    part.parent.mkdir()
    part.write_bytes(b"begun")
    with FileLock(tmp_path / ".download-Some.lock"), pytest.raises(ValueError, match="another process downloads it"):
        get(some, tmp_path, pause=0)
    assert part.read_bytes() == b"begun" and not server.requests


def test_isic(server, tmp_path):
    rng = np.random.default_rng(0)
    files = {}
    for part, numbers in (("train", range(3)), ("val", range(3, 5)), ("test", range(5, 7))):
        images, masks = {}, {}
        for n in numbers:
            images[f"Input/ISIC_000000{n}.jpg"] = picture(rng.integers(0, 255, (24, 30, 3), dtype=np.uint8), "JPEG")
            images[f"Input/ISIC_000000{n}_superpixels.png"] = picture(np.zeros((24, 30, 3), np.uint8))
            mask = np.zeros((24, 30), np.uint8)
            mask[5:12, 6 : 10 + n] = 255
            masks[f"Truth/ISIC_000000{n}_segmentation.png"] = picture(mask)
        table = "image_id,melanoma,seborrheic_keratosis\n" + "".join(
            f"ISIC_000000{n},{float(n % 3 == 0)},{float(n % 3 == 1)}\n" for n in numbers
        )
        came = {"images.zip": packed(images), "masks.zip": packed(masks), "truth.csv": table.encode()}
        files |= {f"{part}_{name}": (content, md5(content), part) for name, content in came.items()}
    folder = get(made(server, layout="isic", **files), tmp_path, pause=0)
    assert [f for f in verbs.check(folder, workers=1) if f.severity == "error"] == []
    index = read_index(folder)
    assert index.labels == {"background": 0, "lesion": 255}
    assert [c.split for c in index.cases] == ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    assert all(c.label is not None for c in index.cases)
    index = read_index(folder, classes=["class"])
    shown = [index.classes[c.target[0]] for c in index.cases]
    assert shown == [
        "melanoma",
        "seborrheic keratosis",
        "nevus",
        "melanoma",
        "seborrheic keratosis",
        "nevus",
        "melanoma",
    ]


def test_pictures_to_tell_apart(server, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"{part}_images": rng.integers(0, 255, (n, 8, 8), dtype=np.uint8) for part, n in
              (("train", 4), ("val", 2), ("test", 2))}  # fmt: skip
    arrays |= {f"{part}_labels": np.arange(n)[:, None] % 2 for part, n in (("train", 4), ("val", 2), ("test", 2))}
    out = io.BytesIO()
    np.savez(out, **arrays)
    small = made(server, "Small", layout="medmnist", classes=("ill", "well"), **{"small.npz": out.getvalue()})
    index = read_index(get(small, tmp_path, pause=0))
    assert (index.classes, len(index.cases)) == (("ill", "well"), 8)
    assert np.array_equal(np.asarray(Image.open(index["val_00001"].images[0])), arrays["val_images"][1])
    kinds = {
        f"MedNIST/{kind}/00000{n}.jpeg": picture(arrays["train_images"][n], "JPEG") for kind in "AB" for n in (0, 1)
    }
    index = read_index(get(made(server, "Kinds", layout="folders", **{"k.tar": tar(kinds)}), tmp_path, pause=0))
    assert (index.classes, [c.name for c in index.cases][2]) == (("A", "B"), "B_000000")


def test_promise12(server, tmp_path):
    names = [f"Case0{n}{end}" for n in (0, 1) for end in (".mhd", ".raw", "_segmentation.mhd", "_segmentation.raw")]
    archive = packed({f"training_data/{name}": b"" for name in names})
    index = read_index(get(made(server, layout="promise12", **{"t.zip": archive}), tmp_path, pause=0))
    assert [(c.images[0].name, c.label.name) for c in index.cases] == [
        ("Case00.mhd", "Case00_segmentation.mhd"), ("Case01.mhd", "Case01_segmentation.mhd")
    ]  # fmt: skip


def test_files_under_other_names(server, tmp_path):
    archive = packed({"readme.txt": b""})
    with pytest.raises(ValueError, match="hold no image under the names that are expected"):
        get(made(server, layout="promise12", **{"t.zip": archive}), tmp_path, pause=0)
    assert not (tmp_path / "Some").exists()


# ---------------------------------------------------------------------------- the table and the command line


def test_the_table():
    sets, _ = read_table()
    monai = pytest.importorskip("monai.apps").DecathlonDataset
    assert {n: f"md5:{m}" for n, m in monai.md5.items()} == {n: sets[n].files[0].checksum for n in monai.md5}
    assert dict(monai.resource) == {n: sets[n].files[0].url for n in monai.resource}
    for each in sets.values():
        assert all((each.license, each.page, each.cite, each.source, each.files))
        for file in each.files:
            kind, _, value = file.checksum.partition(":")
            assert len(value) == {"md5": 32, "sha256": 64, "unknown": 0}[kind]
    assert find("task04").name == "Task04_Hippocampus"
    with pytest.raises(ValueError, match=r"ACDC is not offered here; .*https://"):
        find("acdc")
    with pytest.raises(ValueError, match="no data set is called 'Task04_Hipocampus'; did you mean"):
        find("Task04_Hipocampus")


@pytest.fixture
def hippocampus(server, tmp_path, monkeypatch):
    """A made-up archive under the name of the real one, with its own checksum."""
    rng = np.random.default_rng(0)
    root = tmp_path / "made" / "Task04_Hippocampus"
    entries = []
    for n in range(3):
        image, label = blob(rng, (12, 14, 10))
        nifti(root / f"imagesTr/h_{n}.nii.gz", image)
        nifti(root / f"labelsTr/h_{n}.nii.gz", label)
        entries.append({"image": f"./imagesTr/h_{n}.nii.gz", "label": f"./labelsTr/h_{n}.nii.gz"})
    about = {"training": entries, "labels": {"0": "background", "1": "Anterior"}, "modality": {"0": "MRI"}}
    (root / "dataset.json").write_text(json.dumps(about))
    files = {p.relative_to(root.parent).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    server.files["Task04_Hippocampus.tar"] = archive = tar(files)
    sets, pages = read_table()
    task = sets["Task04_Hippocampus"]
    own = Remote(**{**vars(task.files[0]), "checksum": md5(archive)})
    sets[task.name] = DataSet(**{**vars(task), "files": (own,)})
    monkeypatch.setattr("halfmask.data.download.table.read_table", lambda: (sets, pages))


def test_through_the_command_line(server, hippocampus, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["halfmask", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as e:
            return e.code or 0, capsys.readouterr().out

    get_it = ("data", "get", "Task04_Hippocampus", "--out", tmp_path / "out", "--mirror", f"{server.url}/mirror/")
    code, out = run(*get_it)
    assert "read the terms above, and give --accept" in code
    assert "license: CC BY-SA 4.0; the terms stand on http://medicaldecathlon.com" in out
    assert server.requests == []
    code, out = run(*get_it, "--accept")
    assert (code, out.splitlines()[-1]) == (0, f"next: halfmask check {tmp_path}/out/Task04_Hippocampus")
    assert verbs.check(tmp_path / "out" / "Task04_Hippocampus", workers=1) == []
    code, out = run(*get_it)
    assert (code, len(server.requests), "is there already" in out) == (0, 1, True)
    code, out = run("data", "list")
    assert code == 0 and re.search(r"Task04_Hippocampus +27 MB", out)
    code, out = run("data", "list", "ISIC2017")
    assert code == 0 and "ISIC-2017_Training_Part3_GroundTruth.csv (size ?, no checksum)" in out


def test_asked_on_a_terminal(server, hippocampus, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\nyes\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(ValueError, match="nothing was downloaded"):
        verbs.get_data("task04", out=tmp_path / "out", mirror=server.url)
    folder = verbs.get_data("task04", out=tmp_path / "out", mirror=server.url)
    assert (folder / "dataset.json").is_file()
    with pytest.raises(ValueError, match="--mirror begins with http"):
        verbs.get_data("task04", mirror="ftp://x")
