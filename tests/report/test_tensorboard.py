"""Event files, as TensorBoard reads them."""

import json
import socket
import struct
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util import tensor_util

from kregtools.cli import main
from kregtools.diagnosis import diagnose
from kregtools.record import Record, example
from kregtools.report.tensorboard import EventFiles, as_markdown, write_events

OVERFIT = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]}
NAN = float("nan")
ODD = "block/<script>dense $"
SERIES = {
    (ODD, "activation", "std"): [0.5, NAN, 0.75],
    (ODD, "activation", "dead_units"): [NAN, 16.0, 32.0],
    (ODD, "activation", "units"): [64.0] * 3,
    (ODD, "activation", "magnitude_below_1e-9"): [0.5, NAN, 0.25],
    (ODD, "activation", "magnitude_1e-9"): [0.25, NAN, 0.5],
    (ODD, "activation", "magnitude_1e0"): [0.25, NAN, 0.25],
    ("dense", "kernel", "gradient_norm"): [1.0, 2.0, 3.0],
}


@pytest.fixture
def record():
    return example(logs=OVERFIT, series=SERIES)


class Served:
    """TensorBoard itself, asked through its HTTP API."""

    def __init__(self, log_dir):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir), "--port", str(port)]
        self._process = subprocess.Popen(
            [*command, "--load_fast", "false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._url = f"http://127.0.0.1:{port}/data/plugin"

    def ask(self, plugin: str, what: str, **query: str):
        with urllib.request.urlopen(f"{self._url}/{plugin}/{what}?{urllib.parse.urlencode(query)}") as answer:
            return json.load(answer)

    def wait(self):
        for _ in range(240):
            try:
                if self.ask("text", "tags").get("kregtools"):
                    return
            except OSError:
                pass
            time.sleep(0.25)
        raise TimeoutError("TensorBoard did not read the run within a minute")

    def stop(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    log_dir = tmp_path_factory.mktemp("logs")
    written = example(logs=OVERFIT, series=SERIES)
    write_events(log_dir, written, diagnose(written))
    tensorboard = Served(log_dir)
    try:
        tensorboard.wait()
        yield tensorboard
    finally:
        tensorboard.stop()


def test_it_shows_scalars_of_layers_and_epochs(served):
    tags = served.ask("scalars", "tags")["kregtools"]
    assert {f"activation std/{ODD}", "kernel gradient_norm/dense", "epoch_loss", "epoch_val_loss"} <= tags.keys()
    points = served.ask("scalars", "scalars", run="kregtools", tag=f"activation std/{ODD}")
    assert [(step, value) for _, step, value in points] == [(0, 0.5), (2, 0.75)]
    points = served.ask("scalars", "scalars", run="kregtools", tag=f"activation dead_fraction/{ODD}")
    assert [(step, value) for _, step, value in points] == [(1, 0.25), (2, 0.5)]
    points = served.ask("scalars", "scalars", run="kregtools", tag="epoch_val_loss")
    assert [value for *_, value in points] == pytest.approx(OVERFIT["val_loss"])
    assert [step for _, step, _ in points] == [0, 1, 2, 3, 4]


def test_it_shows_histograms_from_the_sketches(served):
    tag = f"activation magnitudes/{ODD}"
    assert tag in served.ask("histograms", "tags")["kregtools"]
    first, second = served.ask("histograms", "histograms", run="kregtools", tag=tag)
    assert (first[1], second[1]) == (0, 2)
    assert first[2] == [[-10, -9, 50], [-9, -8, 25], [0, 1, 25]] and second[2][1] == [-9, -8, 50]


def test_it_shows_the_diagnosis_as_text(served):
    (shown,) = served.ask("text", "text", run="kregtools", tag="diagnosis")
    assert "<strong>Overfit: " in shown["text"] and "<h3>overfit" in shown["text"] and shown["step"] == 4
    assert "<script" not in shown["text"]


# ---- without TensorBoard


def test_markdown_leaves_names_as_they_are():
    record = example(
        logs={"loss": [0.7, 0.69]},
        series={
            ("__a__", "kernel", "gradient_rms"): [1e-9] * 6,
            ("<script>", "kernel", "gradient_rms"): [1e-2] * 6,
        },
    )
    said = as_markdown(diagnose(record))
    assert r"\_\_a\_\_" in said and "&lt;script&gt;" in said and "<script>" not in said
    assert "### vanishing" in said.replace("\\", "") and "### Not checked" in said


def test_what_is_written_as_the_run_goes_is_what_is_written_at_once(tmp_path, record):
    growing, live = Record(record.facts), EventFiles(tmp_path / "live")
    for sample in range(3):
        values = {key: record.series(*key)[sample] for key in SERIES}
        growing.add_sample(sample, 0, values)
        live.add(growing, diagnose(growing))
    for epoch in range(5):
        growing.add_epoch(epoch, 10 * epoch + 9, {name: values[epoch] for name, values in OVERFIT.items()})
        live.add(growing, diagnose(growing))
    write_events(tmp_path / "whole", record, diagnose(record))
    assert points(tmp_path / "live") == points(tmp_path / "whole")


def points(log_dir):
    """The events of a run by tag, read as the file format says: a length, its checksum, an event, its checksum."""
    (path,) = (log_dir / "kregtools").iterdir()
    data, found = path.read_bytes(), {}
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event, data = Event.FromString(data[12 : 12 + length]), data[16 + length :]
        for value in event.summary.value:
            if value.tag != "diagnosis":
                found.setdefault(value.tag, []).append((event.step, tensor_util.make_ndarray(value.tensor).tolist()))
    return found


def test_written_again_it_replaces_its_own_files_alone(tmp_path, record):
    other = tmp_path / "kregtools" / "events.out.tfevents.1.host"
    other.parent.mkdir()
    other.write_bytes(b"")
    for _ in range(2):
        directory = write_events(tmp_path, record, diagnose(record))
    assert len(list(directory.iterdir())) == 2 and other.exists()


def test_it_loads_no_backend(tmp_path):
    code = (
        "import sys; from kregtools.record import example; from kregtools.diagnosis import diagnose\n"
        "from kregtools.report.tensorboard import write_events\n"
        "record = example(logs={'loss': [1.0]}); write_events(sys.argv[1], record, diagnose(record))\n"
        "sys.exit(bool({'tensorflow', 'jax', 'torch', 'keras'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_command_writes_them(tmp_path, record, capsys):
    record.save(tmp_path / "run")
    assert main(["report", str(tmp_path / "run"), "-o", "", "--tensorboard", str(tmp_path / "logs")]) == 0
    assert str(tmp_path / "logs" / "kregtools") in capsys.readouterr().out
    assert points(tmp_path / "logs")["epoch_loss"]
