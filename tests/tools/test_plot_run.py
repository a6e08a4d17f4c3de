import json

import cv2
import pytest
from tool_modules import load_tool


@pytest.fixture(scope="module")
def tool():
    return load_tool("plot_run")


def write(folder, *lines):
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(line) if isinstance(line, dict) else line}\n" for line in lines)
    (folder / "metrics.json").write_text(text)
    return str(folder)


LINE = {
    "iteration": 19,
    "total_loss": 1.5,
    "loss_rpn_cls": 0.5,
    "loss_rpn_loc": 1.0,
    "lr": 0.01,
    "lr/backbone": 0.0,
    "lr/head": 0.01,
    "grad_norm": 3.0,
    "rpn/num_pos_anchors": 12.0,
    "pairs_per_second": 40.0,
    "data_share": 0.05,
    "data_time": 0.01,
    "eta_seconds": 9.0,
}
EVALUATION = {"iteration": 39, "ope/success_auc": 0.5, "ope/fps": 90.0, "a/ope/eao": 0.25}


def test_last_of_repeated_iterations_counts(tool, tmp_path):
    write(
        tmp_path,
        *({"iteration": 19, "a": 1.0}, {"iteration": 39, "a": 2.0, "b": 5.0}),
        *({"iteration": 59, "a": 3.0}, {"iteration": 39, "a": 4.0}),
    )
    scalars = tool.read_run(tmp_path / "metrics.json")
    assert scalars == {"a": {19: 1.0, 39: 4.0, 59: 3.0}, "b": {39: 5.0}}


def test_broken_lines_are_named_and_left_out(tool, tmp_path, capsys):
    write(tmp_path, LINE, '{"iteration": 39, "total_lo{"iteration": 59}', "[]", '{"iterat')
    scalars = tool.read_run(tmp_path / "metrics.json")
    assert scalars["total_loss"] == {19: 1.5}
    expected = f"warning: {tmp_path / 'metrics.json'}: no numbers in line 2, 3, 4; left out\n"
    assert capsys.readouterr().err == expected


def test_values_that_are_not_finite(tool, tmp_path):
    write(tmp_path, LINE, {"iteration": 39, "total_loss": float("nan"), "grad_norm": float("inf")})
    assert tool.main([str(tmp_path)]) == 0


def test_panels(tool, tmp_path):
    run = tool.read_runs([write(tmp_path, LINE, EVALUATION)])
    assert [(panel.title, panel.names) for panel in tool.panels(run)] == [
        ("total loss", ["total_loss"]),
        ("loss rpn cls", ["loss_rpn_cls"]),
        ("loss rpn loc", ["loss_rpn_loc"]),
        ("learning rate", ["lr/backbone", "lr/head"]),
        ("gradient norm, before clipping", ["grad_norm"]),
        ("positive anchors per image", ["rpn/num_pos_anchors"]),
        ("pairs per second", ["pairs_per_second"]),
        ("share of time waiting for data", ["data_share"]),
        ("a/ope/eao", ["a/ope/eao"]),
        ("ope/success_auc", ["ope/success_auc"]),
    ]


def test_one_rate_of_a_run_without_groups(tool, tmp_path):
    run = tool.read_runs([write(tmp_path, {"iteration": 1, "lr": 0.5})])
    assert [panel.names for panel in tool.panels(run)] == [["lr"]]


def test_several_runs_in_one_picture(tool, tmp_path, capsys):
    one = write(tmp_path / "one", LINE, EVALUATION)
    two = write(tmp_path / "two", {**LINE, "iteration": 59, "siamfc/num_pos_positions": 8.0})
    figure = tool.plot(tool.read_runs([one, two]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]
    cells = {axes.get_title(): axes for axes in figure.axes}
    lines = [line.get_xydata().tolist() for line in cells["total loss"].lines]
    assert lines == [[[19, 1.5]], [[59, 1.5]]]
    colors = [line.get_color() for line in cells["total loss"].lines]
    (of_two,) = cells["positive positions per image"].lines
    assert colors[0] != colors[1] and of_two.get_color() == colors[1]
    assert len(cells["learning rate"].lines) == 4

    path = tmp_path / "new" / "both.png"
    assert tool.main([one, two, "--output", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert cv2.imread(str(path)).std() > 10


def test_picture_lies_beside_the_file(tool, tmp_path):
    folder = write(tmp_path / "one", LINE)
    assert tool.main([f"{folder}/metrics.json"]) == 0
    assert (tmp_path / "one" / "metrics.png").is_file()


def test_folders_of_one_name(tool, tmp_path):
    folders = [write(tmp_path / parent / "out", LINE) for parent in ("a", "b")]
    assert [run.name for run in tool.read_runs(folders)] == folders


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda p: p.mkdir(), "has no metrics.json of a training: name an OUTPUT_DIR"),
        (lambda p: None, "does not exist"),
        (lambda p: write(p), "has no numbers of a training"),
        (lambda p: write(p, "no json"), "has no numbers of a training"),
    ],
)
def test_bad_input_is_one_line_that_names_it(tool, tmp_path, capsys, make, message):
    path = tmp_path / "out"
    make(path)
    assert tool.main([str(path)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {path}") and message in last


def test_the_same_run_twice(tool, tmp_path, capsys):
    folder = write(tmp_path / "out", LINE)
    assert tool.main([folder, folder]) == 1
    assert capsys.readouterr().err == f"error: {folder} is given twice\n"
