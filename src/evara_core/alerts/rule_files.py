"""Sets of rules as text, in JSON, TOML or YAML, and back.

A set is a list of rules, or a mapping with `rules`; timelines are the same with `timelines`.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

from evara_core._optional import provided_by
from evara_core.alerts.rule_documents import load_rules, rule_to_document
from evara_core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evara_core.alerts.rule_documents import LoadedRules
    from evara_core.alerts.rules import AlertRule

__all__ = ["FORMATS", "documents_in", "dump_rules", "read_rules"]

FORMATS = ("json", "toml", "yaml", "yml")

MAX_BYTES = 4_000_000
"""Of a file: ten thousand rules of some lines each."""


def documents_in(text: str, form: str, *, key: str = "rules") -> list[object]:
    """Return the documents that *text* holds, as a list or under *key*.

    Raises:
        InvalidInputError: It is too large, or not of its format.
        MissingExtraError: YAML without the extra `yaml`.
    """
    if len(text) > MAX_BYTES:
        problem = f"more than {MAX_BYTES} characters"
        raise InvalidInputError(problem)
    try:
        found = _parsed(text, form)
    except (ValueError, RecursionError) as error:
        problem = f"no {form}: {' '.join(str(error).split())[:200]}"
        raise InvalidInputError(problem) from error
    listed = found.get(key) if isinstance(found, dict) else found
    if not isinstance(listed, list):
        problem = f"there is no list of {key} in it"
        raise InvalidInputError(problem)
    return listed


def read_rules(text: str, form: str) -> LoadedRules:
    """Return the rules that *text* holds, and why others were refused.

    Raises:
        InvalidInputError: It is too large, or not of its format.
        MissingExtraError: YAML without the extra `yaml`.
    """
    return load_rules(documents_in(text, form))


def dump_rules(rules: Iterable[AlertRule], *, form: str = "json") -> str:
    """Return *rules* as text in JSON or YAML, which `read_rules` reads back.

    Raises:
        InvalidInputError: Another format.
        MissingExtraError: YAML without the extra `yaml`.
    """
    documents = {"rules": [rule_to_document(rule) for rule in rules]}
    if form == "json":
        return json.dumps(documents, ensure_ascii=False, indent=2) + "\n"
    if form not in {"yaml", "yml"}:
        problem = f"rules are written as json or yaml, not {form[:16]!r}"
        raise InvalidInputError(problem)
    with provided_by("yaml", package="yaml"):
        import yaml  # noqa: PLC0415 - an extra
    return str(yaml.safe_dump(documents, allow_unicode=True, sort_keys=False))


def _parsed(text: str, form: str) -> Any:  # noqa: ANN401 - whatever the file holds
    match form:
        case "json":
            return json.loads(text)
        case "toml":
            return tomllib.loads(text)
        case "yaml" | "yml":
            with provided_by("yaml", package="yaml"):
                import yaml  # noqa: PLC0415 - an extra
            if "&" in text and "*" in text and _has_alias(yaml, text):
                # A few lines of aliases of aliases are more than fits into memory.
                problem = "aliases are not allowed"
                raise ValueError(problem)
            try:
                return yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise ValueError(str(error)) from error
        case _:
            problem = f"unknown format (there are: {', '.join(FORMATS)})"
            raise ValueError(problem)


def _has_alias(yaml: Any, text: str) -> bool:  # noqa: ANN401 - the module
    try:
        return any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
