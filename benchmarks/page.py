"""A run as one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape

from benchmarks.record import Run
from benchmarks.report import table

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "svg{max-width:100%;height:auto}pre{overflow-x:auto;font-size:12px}"
)


def page(run: Run, charts: dict[str, str]) -> str:
    pictures = "\n".join(text[text.index("<svg") :] for text in charts.values())
    about = f"{run.command} on {run.machine}, {run.python}, {run.date}"
    return (
        f"<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>onex-resilience benchmarks</title>"
        f"<style>{_STYLE}</style></head><body><h1>Benchmarks</h1><p>{escape(about)}</p>\n{pictures}\n"
        f"<pre>{escape(table(run))}</pre></body></html>\n"
    )
