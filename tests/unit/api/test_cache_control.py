"""What a route declares to caches, and what it must not."""

from __future__ import annotations

from typing import Any

import pytest

from evara_core.api.cache_control import (
    PRIVATE,
    SECRET,
    CachePolicy,
    check_policy,
    is_shareable,
    vary_with,
)
from evara_core.errors import ConfigurationError


def test_nothing_declared_is_private_and_asked_about_each_time() -> None:
    assert PRIVATE.cache_control() == "private, no-cache"
    assert PRIVATE.varies_on() == ("Authorization",)
    assert SECRET.cache_control() == "private, no-store"


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"max_age_s": 60}, "private, max-age=60"),
        ({"is_private": False}, "public, no-cache"),
        (
            {"max_age_s": 60, "stale_while_revalidate_s": 30, "stale_if_error_s": 600},
            "private, max-age=60, stale-while-revalidate=30, stale-if-error=600",
        ),
        (
            {"is_private": False, "max_age_s": 1, "shared_max_age_s": 9, "must_revalidate": True},
            "public, max-age=1, s-maxage=9, must-revalidate",
        ),
        (
            {"is_private": False, "max_age_s": 31_536_000, "is_immutable": True},
            "public, max-age=31536000, immutable",
        ),
    ],
)
def test_a_policy_is_told_in_the_words_of_http(declared: dict[str, Any], told: str) -> None:
    assert CachePolicy(**declared).cache_control() == told


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"max_age_s": -1}, "below zero"),
        ({"is_secret": True, "max_age_s": 1}, "no times"),
        ({"is_secret": True, "is_private": False}, "not public"),
        ({"shared_max_age_s": 60}, "private"),
        ({"shared_despite_auth": "why"}, "private"),
        ({"stale_while_revalidate_s": 60}, "never stale"),
        (
            {"max_age_s": 1, "must_revalidate": True, "stale_if_error_s": 1},
            "must-revalidate",
        ),
        (
            {
                "is_private": False,
                "max_age_s": 1,
                "shared_max_age_s": 1,
                "stale_while_revalidate_s": 1,
            },
            "s-maxage",
        ),
        ({"is_immutable": True}, "max_age_s"),
        ({"vary": ("Accept\r\nX: y",)}, "names of headers"),
        ({"vary": ("*",)}, "names of headers"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(
    declared: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        CachePolicy(**declared)


def test_public_answers_to_known_callers_need_a_reason() -> None:
    shared = CachePolicy(is_private=False, max_age_s=60)
    reasoned = CachePolicy(is_private=False, max_age_s=60, shared_despite_auth="a price list")

    with pytest.raises(ConfigurationError, match="/mine"):
        check_policy(shared, route="/mine", knows_caller=True)

    check_policy(shared, route="/open", knows_caller=False)
    check_policy(reasoned, route="/mine", knows_caller=True)
    check_policy(PRIVATE, route="/mine", knows_caller=True)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("public", True),
        ("max-age=1, S-MaxAge=2", True),
        ("must-revalidate", True),
        ("private, must-revalidate", False),
        ("no-store, public", False),
        ("max-age=60", False),
        ("", False),
    ],
)
def test_three_directives_share_the_answer_to_a_caller_with_a_token(
    header: str, expected: bool
) -> None:
    assert is_shareable(header) is expected


def test_vary_names_each_header_once() -> None:
    assert vary_with(["Accept, origin"], ["Origin", "Authorization"]) == ["Authorization"]
    assert vary_with(["*"], ["Origin"]) == []
