from __future__ import annotations

import pytest

from evara_core.access.sealing import KeySealer, UnsealedSealer, new_sealing_key
from evara_core.errors import ConfigurationError


def test_what_is_sealed_opens_where_it_belongs_and_nowhere_else():
    sealer = KeySealer([new_sealing_key()])
    sealed = sealer.seal(b"whsec_x", belongs_to="d1:ops")

    assert b"whsec" not in sealed
    assert sealer.open(sealed, belongs_to="d1:ops") == b"whsec_x"
    with pytest.raises(ConfigurationError, match="d2:ops"):
        sealer.open(sealed, belongs_to="d2:ops")


def test_keys_change_over():
    old, new = new_sealing_key(), new_sealing_key()
    sealed = KeySealer([old]).seal(b"x", belongs_to="a")

    assert KeySealer([new, old]).open(sealed, belongs_to="a") == b"x"
    with pytest.raises(ConfigurationError):
        KeySealer([new]).open(sealed, belongs_to="a")


@pytest.mark.parametrize("sealed", [b"", b"evs1", b"x" * 60, b"evs1" + b"x" * 60])
def test_what_was_never_sealed_does_not_open(sealed):
    with pytest.raises(ConfigurationError):
        KeySealer([new_sealing_key()]).open(sealed, belongs_to="a")


@pytest.mark.parametrize("keys", [[], ["short"], ["ä"], ["c2hvcnQ="]])
def test_what_is_no_key_is_refused_and_not_shown(keys):
    with pytest.raises(ConfigurationError) as caught:
        KeySealer(keys)

    assert not any(key in str(caught.value) for key in keys)


def test_without_a_key_what_is_sealed_stays_shut():
    sealed = KeySealer([new_sealing_key()]).seal(b"x", belongs_to="a")

    assert (
        UnsealedSealer().open(UnsealedSealer().seal(b"x", belongs_to="a"), belongs_to="a") == b"x"
    )
    with pytest.raises(ConfigurationError):
        UnsealedSealer().open(sealed, belongs_to="a")
