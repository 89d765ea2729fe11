"""Units of measure, and how a value goes from one to another.

Factors are exact fractions, so that 1060 mm is 106 cm and not 106.00000000000001 cm.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from evara_core.errors import InvalidMappingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["STANDARD_UNITS", "Conversion", "Unit", "UnitTable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit, told by its relation to the base unit of its dimension."""

    name: str
    dimension: str
    """Only units of one dimension convert into each other: `length`, `volume`, `flow` …"""

    factor: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    """base = value * factor + offset"""

    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversion:
    """From one unit to another: value * numerator / denominator + offset."""

    numerator: float = 1.0
    denominator: float = 1.0
    offset: float = 0.0

    def __call__(self, value: float) -> float:
        """Return *value* in the other unit."""
        return value * self.numerator / self.denominator + self.offset


_IDENTITY = Conversion()


@lru_cache(maxsize=512)
def _between(old: Unit, new: Unit) -> Conversion:
    factor = old.factor / new.factor
    return Conversion(
        float(factor.numerator),
        float(factor.denominator),
        float((old.offset - new.offset) / new.factor),
    )


@dataclass(frozen=True, slots=True)
class UnitTable:
    """The units that are known, by name and by alias."""

    by_name: Mapping[str, Unit]

    @classmethod
    def of(cls, units: Iterable[Unit]) -> UnitTable:
        """Return a table of *units*.

        Raises:
            InvalidMappingError: Two of them share a name or an alias, or a factor is 0.
        """
        by_name: dict[str, Unit] = {}
        for unit in units:
            if unit.factor == 0:
                raise InvalidMappingError(f"unit {unit.name!r}: its factor is 0")
            for name in (unit.name, *unit.aliases):
                if by_name.setdefault(name, unit) is not unit:
                    raise InvalidMappingError(f"two units are called {name!r}")
        return cls(MappingProxyType(by_name))

    def plus(self, *units: Unit) -> UnitTable:
        """Return a table that knows *units* too; this one stays as it is."""
        return UnitTable.of([*dict.fromkeys(self.by_name.values()), *units])

    def unit(self, name: str) -> Unit:
        """Return the unit called *name*.

        Raises:
            InvalidMappingError: There is none.
        """
        try:
            return self.by_name[name]
        except KeyError:
            known = ", ".join(sorted({unit.name for unit in self.by_name.values()}))
            raise InvalidMappingError(f"no such unit: {name!r} (known: {known})") from None

    def conversion(self, source: str, target: str) -> Conversion:
        """Return what turns a value in *source* into one in *target*.

        Raises:
            InvalidMappingError: One is not known, or they measure different things.
        """
        old, new = self.unit(source), self.unit(target)
        if old.dimension != new.dimension:
            raise InvalidMappingError(
                f"{source!r} measures {old.dimension}, {target!r} measures {new.dimension}"
            )
        return _IDENTITY if old is new else _between(old, new)


_US_GALLON_L = Fraction(3785411784, 1000000000)
"""231 cubic inches, exactly."""

_IMPERIAL_GALLON_L = Fraction(454609, 100000)

_PSI_PA = Fraction(6894757293168, 1000000000)
"""One pound-force (4.4482216152605 N) on a square inch, to a billionth."""


def _unit(
    name: str, dimension: str, factor: Fraction | int = 1, offset: Fraction | int = 0, *aliases: str
) -> Unit:
    return Unit(
        name=name,
        dimension=dimension,
        factor=Fraction(factor),
        offset=Fraction(offset),
        aliases=aliases,
    )


STANDARD_UNITS = UnitTable.of(
    [
        _unit("m", "length"),
        _unit("cm", "length", Fraction(1, 100)),
        _unit("mm", "length", Fraction(1, 1000)),
        _unit("in", "length", Fraction(254, 10000), 0, "inch"),
        _unit("ft", "length", Fraction(3048, 10000), 0, "feet"),
        _unit("l", "volume", 1, 0, "litre", "liter"),
        _unit("ml", "volume", Fraction(1, 1000)),
        _unit("kl", "volume", 1000),
        _unit("m3", "volume", 1000, 0, "m³"),
        _unit("gal", "volume", _US_GALLON_L, 0, "gal_us"),
        _unit("gal_imp", "volume", _IMPERIAL_GALLON_L),
        _unit("l_per_min", "flow", 1, 0, "lpm"),
        _unit("l_per_s", "flow", 60, 0, "lps"),
        _unit("l_per_h", "flow", Fraction(1, 60), 0, "lph"),
        _unit("m3_per_h", "flow", Fraction(1000, 60), 0, "m³/h"),
        _unit("gal_per_min", "flow", _US_GALLON_L, 0, "gpm"),
        _unit("percent", "ratio", Fraction(1, 100), 0, "%"),
        _unit("ratio", "ratio"),
        _unit("pa", "pressure"),
        _unit("kpa", "pressure", 1000),
        _unit("bar", "pressure", 100_000),
        _unit("mbar", "pressure", 100),
        _unit("psi", "pressure", _PSI_PA),
        _unit("celsius", "temperature", 1, 0, "°C"),
        _unit("fahrenheit", "temperature", Fraction(5, 9), Fraction(-160, 9), "°F"),
        _unit("kelvin", "temperature", 1, Fraction(-27315, 100)),
        _unit("volts", "voltage", 1, 0, "V"),
        _unit("mV", "voltage", Fraction(1, 1000), 0, "millivolts"),
        _unit("amperes", "current", 1, 0, "A"),
        _unit("mA", "current", Fraction(1, 1000), 0, "milliamperes"),
        _unit("ppm", "concentration", 1, 0, "mg_per_l"),
        _unit("ppt", "concentration", 1000),
        _unit("ph", "acidity", 1, 0, "pH"),
        _unit("dbm", "signal", 1, 0, "dBm"),
    ]
)
"""Every unit that the standard kinds may be sent in."""
