import subprocess
import sys

import pytest

from sot.utils.command_line import (
    add_config_options,
    first_few,
    keep_streams,
    make_parser,
    one_line_errors,
)


def run(error, code=1):
    @one_line_errors(code)
    def main():
        if error:
            raise error
        return 0

    return main()


def test_first_few():
    assert first_few([1, 2, 3, 4, 5]) == "1, 2, 3, 4, 5"
    assert first_few("abc", 2) == "a, b and 1 more" and first_few([]) == ""


def test_the_exit_code_of_main_is_kept(capsys):
    assert run(None) == 0
    assert capsys.readouterr() == ("", "")


def test_bad_input_is_one_line(capsys):
    assert run(ValueError("in a.yaml:\n  no such\tkey"), code=2) == 2
    assert capsys.readouterr() == ("", "error: in a.yaml: no such key\n")


def test_a_file_that_cannot_be_opened_is_named_first(capsys):
    @one_line_errors()
    def main():
        open("/no/such/file")

    assert main() == 1
    assert capsys.readouterr().err == "error: /no/such/file: No such file or directory\n"


def test_interruption_is_no_traceback(capsys):
    assert run(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_other_errors_are_faults_of_the_program():
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError())


def test_a_closed_stderr_does_not_hide_the_exit_code(monkeypatch, tmp_path):
    closed = open(tmp_path / "closed", "w")
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert run(ValueError("x"), code=3) == 3
    monkeypatch.setattr(sys, "stderr", None)
    assert run(ValueError("x"), code=3) == 3


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_reader_who_goes_away_does_not_end_a_run(name):
    code = (
        "import sys; from sot.utils.command_line import keep_streams, print_error\n"
        "keep_streams(); input()\n"
        f"for i in range(9): print(i, file=sys.{name}, flush=True)\n"
        "print_error('x'); sys.exit(3)"
    )
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **streams) as process:
        getattr(process, name).close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait() == 3


def test_streams_that_were_closed_before_the_start(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    keep_streams()
    for stream in (sys.stdout, sys.stderr):
        print("anything", file=stream, flush=True)
        stream.close()


def test_config_options():
    parser = make_parser("Title\n\n    code\n")
    add_config_options(parser, default="a.yaml")
    assert "    code\n" in parser.format_help()
    args = parser.parse_args(["SOLVER.BASE_LR", "-1", "INPUT.FORMAT", "RGB"])
    assert args.config_file == "a.yaml"
    assert args.opts == ["SOLVER.BASE_LR", "-1", "INPUT.FORMAT", "RGB"]


def test_wrong_command_line_is_one_line(capsys):
    with pytest.raises(SystemExit) as exit_:
        make_parser("Title").parse_args(["--what"])
    assert exit_.value.code == 2
    assert capsys.readouterr().err == "error: unrecognized arguments: --what\n"
