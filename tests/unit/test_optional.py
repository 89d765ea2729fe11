"""A missing extra says the command to type."""

from __future__ import annotations

import importlib

import pytest

from evara_core._optional import provided_by
from evara_core.errors import MissingExtraError


def test_a_missing_package_names_its_extra() -> None:
    with (
        pytest.raises(MissingExtraError, match=r"evara-core\[mqtt\]"),
        provided_by("mqtt", package="no_such_package_xyz"),
    ):
        importlib.import_module("no_such_package_xyz")


def test_any_other_import_error_passes() -> None:
    with (
        pytest.raises(ModuleNotFoundError, match="other_missing_package"),
        provided_by("mqtt", package="no_such_package_xyz"),
    ):
        importlib.import_module("other_missing_package")
