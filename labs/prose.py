"""Sentences and tables whose numbers come from variables, shown under a cell."""

from collections.abc import Iterable

from IPython.display import Markdown, display


def say(text: str) -> None:
    """Show a sentence or two as prose."""
    display(Markdown(text))


def table(head: Iterable[str], *rows: Iterable) -> None:
    """Show a table; numbers stand right."""
    head, rows = list(head), [list(row) for row in rows]
    right = [all(isinstance(row[column], int | float) for row in rows) for column in range(len(head))]
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---:" if is_right else "---" for is_right in right) + "|"]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    display(Markdown("\n".join(lines)))


def _cell(value) -> str:
    if value is ...:
        return "not made"  # a prediction
    if isinstance(value, float):
        rounded = f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
        return "0" if abs(value) < 0.0005 else rounded
    return f"{value:,}" if isinstance(value, int) else str(value)
