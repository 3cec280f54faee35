"""Write the page at /, a single document that loads nothing but the API that serves it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from survlstm.report.templates import template_environment
from survlstm.serving.responses import ModelResponse

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """The page.

    Attributes:
        html: The document, with its style and script.
        policy: The Content-Security-Policy that allows this style and this script only.
    """

    html: str
    policy: str


def write_page(model: ModelResponse, *, max_body_bytes: int) -> Page:
    """Write the page; it holds no subject's data and is the same for every request.

    Args:
        model: Description of the model that the page shows.
        max_body_bytes: Largest request body, in bytes; the page refuses a larger file before it is sent.

    Returns:
        The document and the policy that allows its style and its script.
    """
    environment = template_environment(HERE)
    style = environment.get_template("page.css").render() + (HERE / "form.css").read_text(encoding="utf-8")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    html = environment.get_template("page.html.jinja").render(
        model=model, max_body_bytes=max_body_bytes, style=Markup(style), script=Markup(script)
    )
    policy = (
        f"default-src 'none'; style-src '{_hash_source(style)}'; script-src '{_hash_source(script)}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html, policy)


def _hash_source(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
