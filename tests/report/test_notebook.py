"""A diagnosis inside a notebook."""

import nbclient
import nbformat

from kregtools.diagnosis import diagnose
from kregtools.record import example
from kregtools.report.notebook import in_notebook, view

OVERFIT = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]}


def test_the_view_has_the_findings_and_keeps_its_styles_to_itself():
    record = example(logs=OVERFIT)
    html = view(diagnose(record), record)
    assert html.count("<svg") == 2 and "@scope (.kregtools)" in html and "<body" not in html
    assert "Overfit: the network learns" in html and "5 epochs; " in html
    assert "<script" not in html


def test_a_diagnosis_by_itself_has_no_drawings():
    html = diagnose(example(logs=OVERFIT))._repr_html_()
    assert "<svg" not in html and "overfit" in html


def test_here_is_no_notebook():
    assert not in_notebook()


CELL = """
from kregtools.callbacks._outlets import Printed
from kregtools.diagnosis import diagnose
from kregtools.record import example
printed = Printed(True)
for epochs in (2, 5):
    losses = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05][:epochs], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5][:epochs]}
    record = example(logs=losses)
    printed.show(record, diagnose(record), live=True)
    printed.flush()
printed.conclude(record, diagnose(record))
"""


def test_in_a_kernel_one_output_follows_the_run():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data"
    assert "5 epochs; " in output.data["text/html"] and "overfit" in output.data["text/html"]
