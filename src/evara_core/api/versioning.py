"""Versions of an API, of which one handler serves all.

A handler knows the newest version only. Each version lists what it changed; requests of an
older version are migrated up, change by change, and answers down. Data is never versioned,
only the way it is written.

The headers follow RFC 9745 (Deprecation) and RFC 8594 (Sunset).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from evara_core.api.conditional import http_date
from evara_core.api.links import render_link
from evara_core.errors import ConfigurationError, InvalidHeaderError, UnsupportedVersionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Record: TypeAlias = dict[str, Any]

__all__ = ["VERSION_HEADER", "Change", "Version", "Versions", "split_version"]

VERSION_HEADER = "X-API-Version"

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NUMBER = re.compile(r"v?([0-9]{1,4})")
_IN_PATH = re.compile(r"/v?([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,4})(?=/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between a version and the one before it."""

    about: str
    """For the changelog."""

    schema: str
    """The kind of record that it concerns, such as `node`."""

    upgrade: Callable[[Record], Record] | None = None
    """A record in a request, as the version before wrote it → as this one does."""

    downgrade: Callable[[Record], Record] | None = None
    """A record in an answer, as this version writes it → as the one before did."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    """Query parameters of the version before → their names in this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version, and how long it lives."""

    name: str
    """A number (`2`) or a date (`2026-11-25`)."""

    changes: tuple[Change, ...] = ()
    """What is different from the version before."""

    deprecated_at: datetime | None = None
    """From when on clients should move; aware. It may lie in the future."""

    sunset_at: datetime | None = None
    """When it may stop to answer. None: the policy's notice after `deprecated_at`."""

    guide: str = ""
    """The address of a page that tells how to move."""


class Versions:
    """All versions of an API."""

    def __init__(
        self,
        versions: Sequence[Version],
        *,
        default: str | None = None,
        notice: timedelta = timedelta(days=365),
    ) -> None:
        """Declare the versions, the oldest first.

        Args:
            versions: All numbers, or all dates.
            default: What a request gets that names none. None: the oldest, which is what a
                client that never heard of versions was written for.
            notice: How long a deprecated version answers at least: 12 months.

        Raises:
            ConfigurationError: They are not in order, a sunset comes before the deprecation
                or the notice is not kept.
        """
        if not versions:
            message = "an API has at least one version"
            raise ConfigurationError(message)
        self._versions = tuple(versions)
        self._by_name = {version.name: version for version in versions}
        self._notice = notice
        self._is_dated = _DATE.fullmatch(versions[0].name) is not None
        self._check()
        self.default = self._versions[0] if default is None else self.resolve(default)

    @property
    def newest(self) -> Version:
        """The version that handlers are written in."""
        return self._versions[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all versions, the oldest first."""
        return tuple(self._by_name)

    def resolve(self, asked: str | None) -> Version:
        """Return the version that answers a request for *asked*; None: the default.

        A date is answered by the nearest version that is not younger.

        Raises:
            UnsupportedVersionError: There is none.
        """
        if asked is None:
            return self.default
        name = asked
        if not self._is_dated and (number := _NUMBER.fullmatch(asked)):
            name = number.group(1)
        found = self._by_name.get(name)
        if found is None and self._is_dated and _is_date(asked):
            older = [version for version in self._versions if version.name <= asked]
            found = older[-1] if older else None
        if found is None:
            raise UnsupportedVersionError(asked[:20], self.names)
        return found

    def choose(self, *, in_path: str | None, in_header: str | None) -> Version:
        """Return the version of a request that may name one in its path and in its header.

        Raises:
            InvalidHeaderError: The two name different ones.
            UnsupportedVersionError: There is no such version.
        """
        version = self.resolve(in_header if in_path is None else in_path)
        if in_path is not None and in_header is not None and self.resolve(in_header) != version:
            raise InvalidHeaderError(VERSION_HEADER, "names another version than the path")
        return version

    def upgrade(self, version: Version, schema: str, record: Record) -> Record:
        """Return *record* of a request in *version*, as the newest version writes it."""
        for change in self._changes_since(version):
            if change.schema == schema and change.upgrade is not None:
                record = change.upgrade(record)
        return record

    def downgrade(self, version: Version, schema: str, record: Record) -> Record:
        """Return *record* of an answer, as *version* writes it."""
        for change in reversed(self._changes_since(version)):
            if change.schema == schema and change.downgrade is not None:
                record = change.downgrade(record)
        return record

    def upgrade_parameters(
        self, version: Version, params: Iterable[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        """Return *params* of a request in *version*, under the names of the newest version.

        An operator stays: `place__contains` follows `place`.
        """
        found = list(params)
        for change in self._changes_since(version):
            found = [(_renamed(name, change.parameters), value) for name, value in found]
        return found

    def sunset_of(self, version: Version) -> datetime | None:
        """Return when *version* may stop to answer; None: nothing is planned."""
        if version.sunset_at is not None or version.deprecated_at is None:
            return version.sunset_at
        return version.deprecated_at + self._notice

    def is_deprecated(self, version: Version, *, now: datetime) -> bool:
        """Return whether clients should have moved on from *version*."""
        return version.deprecated_at is not None and version.deprecated_at <= now

    def headers(self, version: Version) -> list[tuple[str, str]]:
        """Return the headers of every answer in *version*.

        Append them: an answer may carry other `Link` and `Vary` fields.
        """
        headers = [(VERSION_HEADER, version.name), ("Vary", VERSION_HEADER)]
        if version.deprecated_at is not None:
            headers.append(("Deprecation", f"@{int(version.deprecated_at.timestamp())}"))
        sunset_at = self.sunset_of(version)
        if sunset_at is not None:
            headers.append(("Sunset", http_date(sunset_at)))
        if version.guide and version.deprecated_at is not None:
            link = render_link(version.guide, "deprecation", type="text/html")
            headers.append(("Link", link))
        return headers

    def _changes_since(self, version: Version) -> list[Change]:
        newer = self._versions[self._versions.index(version) + 1 :]
        return [change for each in newer for change in each.changes]

    def _check(self) -> None:
        names = [version.name for version in self._versions]
        if self._is_dated and not all(map(_is_date, names)):
            message = f"versions are all dates or all numbers: {', '.join(names)}"
            raise ConfigurationError(message)
        if names != sorted(set(names), key=None if self._is_dated else _numbered):
            message = f"versions are listed once each, the oldest first: {', '.join(names)}"
            raise ConfigurationError(message)
        for version in self._versions:
            self._check_dates(version)

    def _check_dates(self, version: Version) -> None:
        deprecated_at, sunset_at = version.deprecated_at, version.sunset_at
        problem = None
        if any(each is not None and each.tzinfo is None for each in (deprecated_at, sunset_at)):
            problem = "its dates need a time zone"
        elif sunset_at is not None and deprecated_at is None:
            problem = "it has a sunset, and is not deprecated"
        elif sunset_at is not None and deprecated_at is not None:
            if sunset_at < deprecated_at:
                problem = "its sunset comes before its deprecation"
            elif sunset_at - deprecated_at < self._notice:
                problem = f"clients get less than {self._notice.days} days to move"
        if problem is not None:
            message = f"version {version.name}: {problem}"
            raise ConfigurationError(message)


def split_version(path: str) -> tuple[str | None, str]:
    """Return the version that *path* begins with, if any, and the path without it.

    `/v2/nodes` is `/nodes` in version `2`.
    """
    found = _IN_PATH.match(path)
    if found is None:
        return None, path
    return found.group(1), path[found.end() :] or "/"


def _is_date(text: str) -> bool:
    if _DATE.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def _numbered(name: str) -> int:
    if not (name.isascii() and name.isdigit()):
        message = f"a version is a number or a date, not {name!r}"
        raise ConfigurationError(message)
    return int(name)


def _renamed(name: str, names: Mapping[str, str]) -> str:
    bare, separator, operator = name.partition("__")
    return names.get(bare, bare) + separator + operator
