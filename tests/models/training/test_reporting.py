import io

from rich.console import Console

from models.training import reporting
from models.training.reporting import TrainingDisplay


def show(monkeypatch, *, terminal: bool, shown: bool = True) -> tuple[str, list[str]]:
    monkeypatch.setattr(reporting, "_SECONDS_BETWEEN_LINES", 0.0)
    lines: list[str] = []
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    with TrainingDisplay("translator", 2000, lines.append, console=console, shown=shown) as display:
        display.update(500, loss=2.5, tokens_per_second=6800.4, rate=0.001, seconds_left=720)
        display.say("step 500: validation loss 2.1")
    return console.file.getvalue(), lines


def test_a_log_file_gets_lines_with_loss_speed_rate_and_time_left(monkeypatch):
    drawn, lines = show(monkeypatch, terminal=False)
    assert drawn == ""
    assert lines[0].endswith("translator: step 500/2,000  loss 2.500  6,800 tokens/s  lr 1.00e-03  12 min left")
    assert lines[1].endswith("translator: step 500: validation loss 2.1")


def test_a_terminal_gets_a_bar_and_no_line_for_steps(monkeypatch):
    drawn, lines = show(monkeypatch, terminal=True)
    assert "loss 2.500  6,800 tokens/s" in drawn
    assert "500/2000" in drawn
    assert len(lines) == 1


def test_workers_that_do_not_report_are_silent(monkeypatch):
    for terminal in (True, False):
        assert show(monkeypatch, terminal=terminal, shown=False) == ("", [])
