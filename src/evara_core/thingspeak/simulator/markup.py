"""Answers as XML: dashes in names, the type beside each, nil for null."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["xml_document"]

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
# Characters that XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_MOMENTS = frozenset({"created_at", "updated_at"})
_SINGULAR = {"feeds": "feed", "channels": "channel", "tags": "tag", "api_keys": "api-key"}


def xml_document(root: str, told: Mapping[str, Any] | list[Any]) -> bytes:
    """Return *told* as a document with the root element *root*."""
    return ("\n".join([_HEAD, *_element(root, told, "")]) + "\n").encode()


def _element(name: str, value: object, indent: str) -> Iterator[str]:
    tag = name.replace("_", "-")
    match value:
        case None:
            yield f'{indent}<{tag} nil="true"/>'
        case dict():
            yield f"{indent}<{tag}>"
            for key, inner in value.items():
                yield from _element(key, inner, f"{indent}  ")
            yield f"{indent}</{tag}>"
        case list():
            yield f'{indent}<{tag} type="array">'
            for inner in value:
                yield from _element(_SINGULAR.get(name, "item"), inner, f"{indent}  ")
            yield f"{indent}</{tag}>"
        case bool():
            yield f'{indent}<{tag} type="boolean">{str(value).lower()}</{tag}>'
        case int():
            yield f'{indent}<{tag} type="integer">{value}</{tag}>'
        case _:
            kind = ' type="dateTime"' if name in _MOMENTS else ""
            text = escape(_FORBIDDEN.sub("\ufffd", str(value)), quote=False)
            yield f"{indent}<{tag}{kind}>{text}</{tag}>"
