"""Every timeline in `timelines/` comes true: the semantics of the engine, as stories.

Each says in `because` what others do and why we do the same or something else.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from evara_core.alerts.timeline import timeline_from_document

FOLDER = Path(__file__).parent / "timelines"


def documents() -> list:
    return [
        pytest.param(document, id=f"{path.stem}: {document['name']}")
        for path in sorted(FOLDER.glob("*.toml"))
        for document in tomllib.loads(path.read_text())["timeline"]
    ]


@pytest.mark.parametrize("document", documents())
def test_timeline(document: dict) -> None:
    document = dict(document)
    if "rule" in document:
        document["rules"] = [{"id": "r", "kind": "tank", **document.pop("rule")}]

    report = timeline_from_document(document).play()

    assert not report.problems, "\n".join([*report.problems, "All that was said:", *report.told])


def test_there_are_many_and_each_says_why() -> None:
    all_documents = [each.values[0] for each in documents()]

    assert len(all_documents) >= 60
    assert all(len(document["because"]) > 20 for document in all_documents)
    assert len({document["name"] for document in all_documents}) == len(all_documents)
