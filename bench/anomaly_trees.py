"""The directories that a user of the generated year writes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from datetime import datetime

_WORDS: Final = (
    *("radar", "obs", "model", "grib", "surface", "upper", "air", "lidar", "hydro", "ice", "ocean"),
    *("wave", "climate", "archive", "raw", "product", "forecast", "analysis", "station", "buoy"),
    *("ship", "profile", "sonde", "satellite", "image", "tile", "map", "test", "input", "output"),
)
_STYLES: Final = {"fixed": 45, "dated": 30, "projects": 15, "runs": 10}
_MOST_IN_AN_HOUR: Final = 4


class Tree:
    """Directories of one style: always the same, by date, by project or by run."""

    def __init__(self, chance: random.Random) -> None:
        """Draw its style and the directories that there are at first."""
        self._chance = chance
        self.style = chance.choices(list(_STYLES), list(_STYLES.values()))[0]
        self.known = sorted(
            {self._name(chance.randint(1, 4)) for _ in range(chance.randint(2, 15))}
        )
        # Some are used every hour, some once in months.
        self._weights = [1 / (rank + 1) ** 2 for rank in range(len(self.known))]
        self._first_new = chance.randrange(8736) if chance.random() < 0.05 else 10**9
        self._hours = 0

    def _name(self, depth: int) -> str:
        return "/".join(self._chance.choices(_WORDS, k=depth))

    def used(self, local: datetime, files: int) -> list[str]:
        """Return the directories of an hour's files."""
        self._hours += 1
        if self.style == "projects" and self._chance.random() < 0.004:
            self._add(f"projects/{self._name(1)}_{self._chance.randrange(10**6):x}")
        if self._hours == self._first_new:
            self._add(self._name(2))  # he works on something new
        count = min(files, self._chance.randint(1, _MOST_IN_AN_HOUR))
        chosen = set(self._chance.choices(self.known, self._weights, k=count))
        if self.style == "dated":
            return [f"{name}/{local:%Y/%m/%d}" for name in chosen]
        if self.style == "runs":
            return [f"{name}/run_{self._chance.randrange(16**6):06x}" for name in chosen]
        return list(chosen)

    def _add(self, name: str) -> None:
        self.known.append(name)
        self._weights.append(1.0)

    def elsewhere(self) -> str:
        """Return a directory that is beside or below known ones, or on its own.

        Where new directories are usual, another one would be nothing.
        """
        name = f"{self._chance.choice(_WORDS)}{self._chance.choice(['', '2', '_old', '_tmp', 'X'])}"
        parts = self._chance.choice(self.known).split("/")
        depth = self._chance.randint(0, len(parts))
        directory = "/".join([*parts[:depth], name])
        usual = depth == len(parts) and self.style == "runs"
        usual = usual or (self.style == "projects" and parts[0] == "projects" and depth > 0)
        known = any(f"{one}/".startswith(f"{directory}/") for one in self.known)
        return self.elsewhere() if known or usual else directory
