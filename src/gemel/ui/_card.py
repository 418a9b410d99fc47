"""A twin's card: Markdown written by whoever packed the twin, made safe to show."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def render_card(markdown: str) -> str:
    r"""Return the card as HTML without its front matter; headings start at level two, below the page's own.

    >>> render_card("# Ahr\n<script>x</script>")
    '<h2>Ahr</h2>\n<p>&lt;script&gt;x&lt;/script&gt;</p>\n'
    """
    tokens = _MARKDOWN.parse(_FRONT_MATTER.sub("", markdown))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
    return str(_MARKDOWN.renderer.render(_focusable(tokens), _MARKDOWN.options, {}))


def _described(renderer: object, tokens: Sequence[Token], index: int, options: object, env: object) -> str:
    """Return a picture's description: a card can neither run nor load anything."""
    return escapeHtml(tokens[index].content)


_MARKDOWN.add_render_rule("image", _described)


def _focusable(tokens: list[Token]) -> list[Token]:
    """Mark wide blocks as reachable by keyboard, because they scroll sideways on a phone."""
    for token in tokens:
        if token.type in ("table_open", "fence", "code_block"):
            token.attrSet("tabindex", "0")
    return tokens
