"""A list that cannot work is refused when it is declared."""

from __future__ import annotations

import pytest

from evara_core.errors import ConfigurationError
from evara_core.query.ast import SortKey
from evara_core.query.spec import ORDERING, TEXT_SEARCH, Field, FieldType, ListSpec

ID = Field(name="id")


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "limit"},
        {"name": "Label"},
        {"name": "a__b"},
        {"name": "level", "type": FieldType.NUMBER, "operators": TEXT_SEARCH},
        {"name": "level", "type": FieldType.NUMBER, "searchable": True},
        {"name": "level", "type": FieldType.NUMBER, "choices": ("1",)},
        {"name": "live", "type": FieldType.BOOLEAN, "operators": ORDERING},
        {"name": "secret", "selectable": False, "sortable": True},
        {"name": "secret", "selectable": False, "searchable": True},
    ],
)
def test_refuses_a_field_that_cannot_work(arguments):
    with pytest.raises(ConfigurationError, match="field"):
        Field(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"fields": (ID, ID)},
        {"fields": (ID,), "primary_key": ()},
        {"fields": (ID,), "primary_key": ("key",)},
        {"fields": (ID,), "default_sort": (SortKey("label"),)},
        {"fields": (ID,), "default_limit": 0},
        {"fields": (ID,), "default_limit": 200},
        {"fields": (ID,), "count_modes": ()},
    ],
)
def test_refuses_a_list_that_cannot_work(arguments):
    with pytest.raises(ConfigurationError, match="list 'things'"):
        ListSpec(name="things", **arguments)


def test_completes_an_order_in_the_direction_of_its_last_key():
    spec = ListSpec(
        name="things",
        fields=(ID, Field(name="part"), Field(name="label")),
        primary_key=("id", "part"),
    )

    assert spec.completed(()) == (SortKey("id"), SortKey("part"))
    assert spec.completed(
        (SortKey("label", descending=True), SortKey("part", descending=True))
    ) == (
        SortKey("label", descending=True),
        SortKey("part", descending=True),
        SortKey("id", descending=True),
    )
