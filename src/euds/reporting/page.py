"""The page: one file that holds its data, its scripts and its style, and fetches nothing.

What the user's rows contain is data. In the page's text Jinja escapes it; as JSON it cannot end the
script element that holds it; the page's own script puts it into elements as text, never as HTML.
Should all that fail, the content security policy still lets no script run but the two that euds
wrote there, by their hashes, and nothing connect to anywhere.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
import json
from collections.abc import Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from euds.reporting.figures import Section
from euds.reporting.libraries import vega_script
from euds.reporting.opening import Opening
from euds.reporting.sample import Sample
from euds.reporting.tables import Table
from euds.reporting.wording import visible

__all__ = ["render_page"]

_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render_page(
    *,
    opening: Opening,
    comparisons: Table | None,
    sections: Sequence[Section],
    sample: Sample | None,
    ledger: Sequence[Table],
    origin: Sequence[Table],
    command: str | None,
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    opening : Opening
        The first lines.
    comparisons : Table or None
        The comparisons behind the verdicts.
    sections : sequence of Section
        The figures; one section may have figures whose areas can be chosen.
    sample : Sample or None
        The rows for the table beneath those.
    ledger, origin : sequence of Table
        Where the time went; settings, hashes, versions.
    command : str or None
        What makes all this again.
    """
    data = {
        "charts": {one.name: one.spec for section in sections for one in section.figures},
        "sample": None
        if sample is None
        else {
            "rows": sample.rows,
            "columns": [*sample.scores, *(["words"] if sample.has_words else [])],
            "hasText": sample.has_text,
        },
    }
    libraries, script = vega_script(), _asset("page.js")
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            policy=_policy(libraries, script),
            style=Markup(_asset("page.css")),  # noqa: S704  ours, and no element can end in it
            libraries=Markup(libraries),  # noqa: S704
            script=Markup(script),  # noqa: S704
            data=Markup(_json_in_script(data)),  # noqa: S704
            opening=opening,
            comparisons=comparisons,
            sections=sections,
            sample=sample,
            ledger=ledger,
            origin=origin,
            command=None if command is None else visible(command),
        )
    )


def _json_in_script(data: Any) -> str:
    """Return JSON that holds no character with a meaning in HTML, and only ASCII."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character, escape in _IN_SCRIPT.items():
        text = text.replace(character, escape)
    return text


def _policy(*scripts: str) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'"
        for one in scripts
    )
    # Vega sets styles on the elements that it makes; no style can load anything here.
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    folder = importlib.resources.files("euds.reporting") / "templates"
    return (folder / name).read_text(encoding="utf-8")


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("euds.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
