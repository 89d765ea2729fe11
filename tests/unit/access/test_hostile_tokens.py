"""Every forged token is refused, quickly and by the one error; every honest one is not."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from tests.unit.access.hostile_claims import CLAIMS, CONTROLS
from tests.unit.access.hostile_headers import HEADERS
from tests.unit.access.hostile_shapes import SHAPES

from evara_core.access.tokens import TokenVerifier
from evara_core.access.verified import VerifiedTokenCache
from evara_core.errors import UnauthenticatedError
from evara_core.testing.clock import ManualClock
from evara_core.testing.hostile_tokens import Forge, Mode, Recipe

RECIPES = [*HEADERS, *SHAPES, *CLAIMS]

MODES = pytest.mark.parametrize("mode", list(Mode))
BUDGET_S = 0.005


@pytest.fixture
def forge(mode: Mode, clock: ManualClock) -> Forge:
    return Forge(mode, now=clock.now(), secret_retires_at=clock.now() + timedelta(days=1))


@pytest.fixture
def verifier(forge: Forge, clock: ManualClock) -> TokenVerifier:
    return TokenVerifier(forge.profile, forge.key_set(), clock=clock)


def cases(recipes: list[Recipe]) -> list[object]:
    return [
        pytest.param(mode, recipe, id=f"{mode}-{recipe}"[:80].encode("ascii", "replace").decode())
        for recipe in recipes
        for mode in recipe.modes
    ]


@pytest.mark.parametrize(("mode", "recipe"), cases(RECIPES))
def test_a_forged_token_is_refused_at_once(
    mode: Mode, recipe: Recipe, forge: Forge, verifier: TokenVerifier
) -> None:
    token = recipe.make(forge)
    took_s = []

    for _ in range(3):
        started_s = time.thread_time()
        with pytest.raises(UnauthenticatedError) as refused:
            verifier.verify(token)  # type: ignore[arg-type] - some are no text
        took_s.append(time.thread_time() - started_s)

    assert refused.value.reason.startswith("token_")
    assert min(took_s) < BUDGET_S


@pytest.mark.parametrize(("mode", "recipe"), cases(CONTROLS))
def test_an_honest_token_is_accepted(
    mode: Mode, recipe: Recipe, forge: Forge, verifier: TokenVerifier
) -> None:
    believed = verifier.verify(str(recipe.make(forge)))

    assert believed.subject == "0198c5a0-6d5e-7c3f-9a2b-6f0c7f5d2e11"


def test_the_list_is_as_long_as_it_is_said_to_be() -> None:
    names = [str(recipe) for recipe in RECIPES]

    assert len(names) == len(set(names)) >= 300


@MODES
def test_a_cache_of_verified_tokens_lets_nothing_more_through(
    mode: Mode, forge: Forge, verifier: TokenVerifier, clock: ManualClock
) -> None:
    cache = VerifiedTokenCache(verifier, forge.key_set(), clock=clock)
    cache.verify(forge.sign())

    for recipe in RECIPES:
        token = recipe.make(forge)
        if mode in recipe.modes and isinstance(token, str):
            with pytest.raises(UnauthenticatedError):
                cache.verify(token)
    assert len(cache) == 1
