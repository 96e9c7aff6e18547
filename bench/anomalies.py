"""Measures what sr_monitor finds unusual in a generated year: ``python -m bench.anomalies``.

200 users, a year, 1,000 anomalies of seven kinds (``bench.anomaly_year``, ``bench.anomaly_kinds``).
The limits of each method are those that are best in the year of one seed; what is reported is from
another seed.  Writes docs/benchmarks/anomalies/anomalies.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bench import anomaly_rivals
from bench.anomaly_kinds import KINDS, Anomaly, inject
from bench.anomaly_year import GROUPS, HOURS, SHARES, USERS, Hour, User, make_year
from bench.install import ROOT
from sarra_lite.monitor.profile import GROUP_LIMITS, LIMITS, TOGETHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.anomaly_rivals import Scores

TRAINING: Final = 1
REPORTED: Final = 2
METHODS: Final[dict[str, Callable[[list[User]], Scores]]] = {
    "sr_monitor": anomaly_rivals.detector,
    "plain threshold": anomaly_rivals.threshold,
    "STL of statsmodels": anomaly_rivals.seasonal,
}
OUT: Final = ROOT / "docs/benchmarks/anomalies/anomalies.json"
_STEPS: Final = 60  # limits that are tried


class Result(NamedTuple):
    """What was found of one kind: events that are right or wrong, anomalies found or missed."""

    right: int
    wrong: int
    found: list[Anomaly]
    missed: list[Anomaly]

    @property
    def precision(self) -> float:
        """Return the share of events that are right."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """Return the share of anomalies that were found."""
        return len(self.found) / max(1, len(self.found) + len(self.missed))

    @property
    def both(self) -> float:
        """Return the harmonic mean of both."""
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)


def events(scores: list[tuple[float, str, int]], limit: float) -> Iterator[tuple[str, list[int]]]:
    """Yield user and hours of each event: hours above the limit, less than a day apart."""
    hours: defaultdict[str, list[int]] = defaultdict(list)
    for score, user, hour in scores:
        if score >= limit:
            hours[user].append(hour)
    for user, above in hours.items():
        event = above[:1]
        for hour in above[1:]:
            if hour - event[-1] > TOGETHER:
                yield user, event
                event = []
            event.append(hour)
        yield user, event


def judged(
    kind: str, scores: list[tuple[float, str, int]], put_in: list[Anomaly], limit: float
) -> Result:
    """Compare events with the anomalies of a kind; one of another kind counts as wrong."""
    wanted = [anomaly for anomaly in put_in if anomaly.kind == kind]
    of_user: defaultdict[str, list[Anomaly]] = defaultdict(list)
    for anomaly in wanted:
        of_user[anomaly.user].append(anomaly)
    found: set[Anomaly] = set()
    right = wrong = 0
    for user, hours in events(scores, limit):
        met = [one for one in of_user[user] if any(one.first <= hour <= one.last for hour in hours)]
        found.update(met)
        right += bool(met)
        wrong += not met
    missed = [anomaly for anomaly in wanted if anomaly not in found]
    return Result(right, wrong, sorted(found), missed)


def best_limit(kind: str, scores: list[tuple[float, str, int]], put_in: list[Anomaly]) -> float:
    """Return the limit with the best harmonic mean of precision and recall."""
    values = sorted(score for score, *_ in scores)
    most = min(len(values), 200 * len(put_in))
    # Evenly over the ranks of the highest scores, closer at the top.
    ranks = {int(most * (step / _STEPS) ** 3) for step in range(1, _STEPS)}
    tried = {values[-1 - rank] for rank in ranks if rank < len(values)}
    return max(tried, key=lambda limit: judged(kind, scores, put_in, limit).both)


def measured(results: dict[str, Result], limits: dict[str, float]) -> dict[str, Any]:
    """Return figures for the page; of each kind, and of all."""
    kinds = {}
    for kind, result in results.items():
        strengths = sorted(one.strength for one in result.found + result.missed)
        thirds = [strengths[len(strengths) * part // 3] for part in (1, 2)]
        parts: dict[str, list[int]] = {"weak": [0, 0], "middle": [0, 0], "strong": [0, 0]}
        for anomalies, is_found in ((result.found, 1), (result.missed, 0)):
            for one in anomalies:
                part = parts[["weak", "middle", "strong"][sum(one.strength >= x for x in thirds)]]
                part[0] += is_found
                part[1] += 1
        kinds[kind] = {
            "limit": round(limits[kind], 3),
            "precision": round(result.precision, 3),
            "recall": round(result.recall, 3),
            "wrong": result.wrong,
            "missed": len(result.missed),
            "recall by strength": {
                name: round(met / all_, 3) for name, (met, all_) in parts.items() if all_
            },
        }
    total = Result(
        sum(result.right for result in results.values()),
        sum(result.wrong for result in results.values()),
        [one for result in results.values() for one in result.found],
        [one for result in results.values() for one in result.missed],
    )
    return {
        "all": {"precision": round(total.precision, 3), "recall": round(total.recall, 3)},
        "kinds": kinds,
    }


def groups(users: list[User], put_in: list[Anomaly]) -> dict[str, Any]:
    """Return how many events of groups are about something that was put into a member's year."""
    members: defaultdict[str, list[User]] = defaultdict(list)
    group_of = {user.name: user.group for user in users}
    for user in users:
        members[user.group].append(user)
    summed = [_sum(name, found) for name, found in members.items()]
    scores = anomaly_rivals.detector(summed)
    moved = [one._replace(user=group_of[one.user]) for one in put_in]
    results = [judged(kind, scores[kind], moved, GROUP_LIMITS[kind]) for kind in GROUP_LIMITS]
    right, wrong = (sum(getattr(one, name) for one in results) for name in ("right", "wrong"))
    return {"events": right + wrong, "precision": round(right / max(1, right + wrong), 3)}


def _sum(name: str, members: list[User]) -> User:
    hours: dict[int, Hour] = {}
    for user in members:
        for number, hour in user.hours.items():
            total = hours.setdefault(number, Hour())
            total.sent += hour.sent
            total.failed += hour.failed
            total.bytes += hour.bytes
            total.took += hour.took
            total.oldest = max(total.oldest, hour.oldest)
            total.directories = [*total.directories, *hour.directories]
    first = members[0]
    values = {key: getattr(first, key) for key in User.__dataclass_fields__}
    return User(**values | {"name": name, "hours": hours})


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser("bench.anomalies", description=__doc__)
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=list(METHODS),
        help="default: all; the figures of others are kept",
    )
    names = parser.parse_args().methods
    years = {}
    for seed in (TRAINING, REPORTED):
        users = make_year(seed)
        years[seed] = users, inject(users, seed)
    found: dict[str, Any] = {}
    for name in names:
        begun = time.process_time()
        scores = {seed: METHODS[name](users) for seed, (users, _) in years.items()}
        seconds = time.process_time() - begun
        limits = {
            kind: best_limit(kind, scores[TRAINING][kind], years[TRAINING][1]) for kind in KINDS
        }
        print(name, {kind: round(limit, 3) for kind, limit in limits.items()})
        if name == "sr_monitor":
            limits = LIMITS
        put_in = years[REPORTED][1]
        results = {
            kind: judged(kind, scores[REPORTED][kind], put_in, limits[kind]) for kind in KINDS
        }
        found[name] = measured(results, limits)
        found[name]["microseconds of processor for an hour of a user"] = round(
            seconds * 1e6 / (2 * USERS * HOURS), 1
        )
        print(name, json.dumps(found[name], indent=1))
    figures = {
        "seeds": {"limits chosen with": TRAINING, "reported": REPORTED},
        "users": USERS,
        "groups": GROUPS,
        "hours": HOURS,
        "styles": SHARES,
        "kinds": list(KINDS),
        "anomalies": len(years[REPORTED][1]),
        "methods": found,
        "groups' events": groups(*years[REPORTED]),
    }
    print(figures["groups' events"])
    OUT.parent.mkdir(parents=True, exist_ok=True)
    if OUT.exists():
        figures["methods"] = json.loads(OUT.read_text())["methods"] | found
    OUT.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
