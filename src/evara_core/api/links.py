"""The `Link` header, RFC 8288: where to go on from a page.

Clients follow links; they need not build them. A response may carry several `Link` fields:
append this one, never replace another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from evara_core.query.spec import CountMode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evara_core.query.paging import Page

__all__ = ["page_links", "render_link", "render_links"]

_PAGING = frozenset({"cursor", "page"})
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"


def render_link(url: str, rel: str, **parameters: str) -> str:
    """Return one link, such as `</nodes?page=2>; rel="next"`.

    Whatever may not stand in an address is percent-encoded, so that a request cannot end
    the link, or the header, early.
    """
    target = quote(url, safe=_URL_SAFE)
    more = "".join(f'; {name}="{_quoted(text)}"' for name, text in parameters.items())
    return f'<{target}>; rel="{_quoted(rel)}"{more}'


def render_links(links: Mapping[str, str]) -> str:
    """Return relation → address as the value of one `Link` field; empty when there are none."""
    return ", ".join(render_link(url, rel) for rel, url in links.items())


def page_links(url: str, page: Page[Any], *, last_cursor: str | None = None) -> dict[str, str]:
    """Return relation → address of the pages around *page*, each with the request's parameters.

    `next` and `prev` are absent where there is nothing; `last` where it is not known.

    Args:
        url: Of the request, with its query string. Without scheme and host the links are
            relative, which RFC 8288 resolves against the request.
        page: What was answered.
        last_cursor: From `query.paging.last_page_cursor`, to offer the last page as well.
    """
    if page.number is not None:
        return _numbered(url, page)
    links = {"first": _with(url, {})}
    if page.previous is not None:
        links["prev"] = _with(url, {"cursor": page.previous})
    if page.next is not None:
        links["next"] = _with(url, {"cursor": page.next})
    if last_cursor is not None:
        links["last"] = _with(url, {"cursor": last_cursor})
    return links


def _numbered(url: str, page: Page[Any]) -> dict[str, str]:
    number = page.number or 1
    links = {"first": _with(url, {"page": "1"})}
    if number > 1:
        links["prev"] = _with(url, {"page": str(number - 1)})
    if page.next is not None:
        links["next"] = _with(url, {"page": str(number + 1)})
    if page.total is not None and page.total.kind is CountMode.EXACT:
        links["last"] = _with(url, {"page": str(max(1, -(-page.total.count // page.limit)))})
    return links


def _with(url: str, changed: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    kept: Sequence[tuple[str, str]] = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name not in _PAGING
    ]
    query = urlencode([*kept, *changed.items()])
    return urlunsplit(parts._replace(query=query, fragment=""))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
