"""In a notebook: answers as tables of HTML, and progress as a bar of ipywidgets where that is installed, else as a line that the notebook replaces."""

from __future__ import annotations

import html
import importlib
import sys
from typing import Any, Protocol

import pyarrow as pa

from .result import html_of


class Bar(Protocol):
    def show(self, text: str, share: float | None) -> None: ...

    def end(self) -> None: ...


def is_notebook() -> bool:
    """True in a kernel, which has no terminal. IPython is not imported for this: where it runs, it is there."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell is not None else None
    return found is not None and hasattr(found, "kernel")


def show_answers() -> None:
    """Has IPython, where it runs, show answers of the historian as HTML. Other tables of Arrow stay as they were."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell is not None else None
    formatter = getattr(found, "display_formatter", None)
    if formatter is not None:
        formatter.formatters["text/html"].for_type(pa.Table, _answer)


def _answer(table: pa.Table) -> str | None:
    told = table.schema.metadata or {}
    return html_of(table) if b"tags" in told or b"start" in told else None


def bar() -> Bar:
    try:
        return _Widget(importlib.import_module("ipywidgets"), importlib.import_module("IPython.display"))
    except ImportError:
        return _Line(importlib.import_module("IPython.display"))


class _Widget:
    def __init__(self, widgets: Any, display: Any) -> None:
        self._bar = widgets.FloatProgress(min=0.0, max=1.0)
        self._text = widgets.Label()
        self._box = widgets.HBox([self._bar, self._text])
        display.display(self._box)

    def show(self, text: str, share: float | None) -> None:
        # Without an estimate the bar is full and moves by its colour alone.
        self._bar.value, self._bar.bar_style = (1.0, "info") if share is None else (share, "")
        self._text.value = text

    def end(self) -> None:
        self._bar.bar_style = "success" if self._bar.value >= 1.0 else ""
        self._box.close()


class _Line:
    def __init__(self, display: Any) -> None:
        self._html = display.HTML
        self._handle = display.display(display.HTML(""), display_id=True)

    def show(self, text: str, share: float | None) -> None:
        self._handle.update(self._html(f"<pre>{html.escape(text)}</pre>"))

    def end(self) -> None:
        self._handle.update(self._html(""))
