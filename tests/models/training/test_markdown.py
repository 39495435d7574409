from models.training.markdown import cell, figure, table


def test_a_cell_ends_neither_its_column_nor_its_row():
    assert cell("a | b\nc") == "a \\| b c"


def test_figures_are_as_short_as_they_say_something():
    assert (figure(1234567), figure(0.123456), figure(None)) == ("1,234,567", "0.1235", "")
    assert figure(51.666, [50.02, 53.531]) == "51.67 [50.02, 53.53]"


def test_a_table_has_its_head_over_its_rows():
    assert table(("name", "size"), [("one", 1), ("two", "2")]).splitlines() == [
        "| name | size |",
        "| --- | --- |",
        "| one | 1 |",
        "| two | 2 |",
    ]
