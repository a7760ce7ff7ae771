"""The search for settings: from the preset on, a step of one setting at a time, along all that no other choice beats.

A Pareto local search (Paquete, Chiarandini and Stützle 2004): of the choices that no other dominates, the one nearest
to the aims has its neighbours measured, first those far away and then the near ones. What helps each on its own is
then tried together, the pattern move of Hooke and Jeeves (1961). Many are judged by one seed, the better half of them
by twice as many, and so on: successive halving (Jamieson and Talwalkar 2016). There is no chance in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import floor, inf, log
from typing import Final, NamedTuple

from omnibase_infra.simulator.model_measures import ModelMeasures
from omnibase_infra.simulator.model_search_space import ModelSearchSpace
from omnibase_infra.simulator.pareto import dominates, front
from omnibase_infra.simulator.search_space import UNCHANGED, Changes, neighbours

_LEAST: Final = 1e-9
_MOST_TOGETHER: Final = 5
"""Settings of a pattern move: the sixth best rarely adds anything."""


class Trial(NamedTuple):
    """One run to be made."""

    changes: Changes
    scenario: int
    seed: int


Measure = Callable[[Sequence[Trial]], Iterable[ModelMeasures]]
"""Makes runs, several at once or not, and gives what came of each in the order asked for, as soon as there is some."""

Shortfall = Callable[[ModelMeasures], float]
"""The share by which one run misses one aim; 0 when it reaches it, 1 at most."""


class Figures(NamedTuple):
    """What a choice is judged by, each the worst of its runs; the lower, the better."""

    shortfall: float
    loss: float
    """Share of the calls that went without an answer and would have had one without the scenario's events."""
    p99: float
    amplification: float


class PatternSearch:
    """Searches settings.

    Args:
        present: The preset's, by dotted key; None for one that is off.
        space: What is varied.
        measure: Makes the runs.
        aims: What is to be reached.
        scenarios: How many there are.
        seeds: Of all chance.
        budget: Choices measured at most, besides those that tell what each setting of the result is worth.
        is_possible: Whether settings make sense together.
        progress: Gets the number of choices measured, a share of one too.
    """

    def __init__(
        self,
        present: Mapping[str, float | None],
        space: ModelSearchSpace,
        measure: Measure,
        *,
        aims: Sequence[Shortfall],
        scenarios: int,
        seeds: Sequence[int],
        budget: int,
        is_possible: Callable[[Changes], bool] = lambda _: True,
        progress: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._present = present
        self._space = space
        self._measure = measure
        self._aims = aims
        self._scenarios = range(scenarios)
        self._seeds = tuple(seeds)
        self._budget = budget
        self._is_possible = is_possible
        self._progress = progress
        self._measured: dict[Trial, ModelMeasures] = {}
        self._seen: dict[Changes, None] = {}
        self._front: list[Changes] = []
        self._polled: dict[Changes, int] = {}
        self._felt: dict[Changes, dict[str, bool]] = {}

    @property
    def tried(self) -> int:
        """Choices measured so far."""
        return len(self._seen)

    @property
    def front(self) -> tuple[Changes, ...]:
        """All that no other choice beats, by falling goodput."""
        return tuple(sorted(self._front, key=lambda changes: (self.figures(changes).loss, self._score(changes))))

    def figures(self, changes: Changes) -> Figures:
        """What a choice is judged by, once it is measured with all seeds."""
        return self._figures(changes, len(self._seeds))

    def runs(self, changes: Changes) -> list[ModelMeasures]:
        """What came of each run of a choice that is measured with all seeds."""
        return self._runs(changes, len(self._seeds))

    def search(self) -> Changes:
        """Search until the budget is spent or there is nowhere left to go, and return what comes nearest to the aims.

        Of what reaches them, that is what answers the most calls; then with the least amplification, then the
        shortest p99, then the fewest changes.
        """
        self.add([UNCHANGED])
        while (found := self._next()) is not None and self.tried < self._budget:
            centre, factor = found
            options = [
                option
                for option in neighbours(self._present, centre, factor, self._space)
                if self._is_felt(centre, option)
            ]
            better = self._race(centre, options)
            self._race(centre, list(self._together(centre, better)))
        return self.best()

    def best(self) -> Changes:
        """The choice nearest to the aims so far."""
        return min(self._front, key=self._score)

    def rank(self, changes: Changes) -> tuple[float, ...]:
        """What choices are put in order by, the best first; of choices that are the same but for chance it is equal."""
        return self._levels(changes, len(self._seeds))

    def add(self, choices: Sequence[Changes]) -> list[Changes]:
        """Measure choices with all seeds, whatever the budget; those that make no sense are left out."""
        possible = [choice for choice in choices if self._is_possible(choice)]
        self._make_runs(possible, len(self._seeds))
        self._admit(possible)
        return possible

    def _next(self) -> tuple[Changes, float] | None:
        factors = self._space.factors
        for centre in sorted(self._front, key=self._score):
            polled = self._polled.get(centre, 0)
            if polled < len(factors):
                self._polled[centre] = polled + 1
                return centre, factors[polled]
        return None

    def _race(self, centre: Changes, options: Sequence[Changes]) -> list[Changes]:
        """Measure what is new among the options; the better ones with all seeds. Returns these, the best first."""
        fresh = [option for option in options if option not in self._seen and self._is_possible(option)]
        racing = fresh[: self._budget - self.tried]
        count = 1
        while racing:
            self._make_runs(racing, count)
            own = self._levels(centre, count)
            for option in racing:
                self._feel(centre, option, is_felt=self._levels(option, count) != own)
            racing = [
                option
                for option in racing
                if self._levels(option, count) != own and not dominates(own, self._levels(option, count))
            ]
            racing.sort(key=lambda option: self._order(option, count))
            if count == len(self._seeds):
                break
            racing = racing[: (len(racing) + 1) // 2]
            count = min(2 * count, len(self._seeds))
        self._admit(racing)
        return racing

    def _together(self, centre: Changes, better: Sequence[Changes]) -> Iterator[Changes]:
        """Of what helps on its own the best two together, the best three, and so on."""
        merged, settings = dict(centre), set[str]()
        for option in better:
            if self.rank(option) >= self.rank(centre):
                break  # this one, and all that follow, give one figure for another
            (key,) = _differing(centre, option)
            if key in settings or len(settings) == _MOST_TOGETHER:
                continue
            settings.add(key)
            merged.pop(key, None)
            merged |= {name: value for name, value in option if name == key}
            if len(settings) > 1:
                yield tuple(sorted(merged.items()))

    def _feel(self, centre: Changes, option: Changes, *, is_felt: bool) -> None:
        """Remember of each setting whether a step of it made any difference."""
        key, *more = _differing(centre, option)
        if not more:
            felt = self._felt.setdefault(centre, {})
            felt[key] = felt.get(key, False) or is_felt

    def _is_felt(self, centre: Changes, option: Changes) -> bool:
        """A setting of which a far step made no difference is left alone by the near ones."""
        return any(self._felt.get(centre, {}).get(key, True) for key in _differing(centre, option))

    def _admit(self, choices: Sequence[Changes]) -> None:
        count = len(self._seeds)
        everything = sorted({*self._front, *choices}, key=lambda changes: self._order(changes, count))
        self._front = front(everything, lambda changes: self._levels(changes, count))

    def _make_runs(self, choices: Sequence[Changes], count: int) -> None:
        trials = [
            trial
            for seed in self._seeds[:count]
            for scenario in self._scenarios
            for changes in choices
            if (trial := Trial(changes, scenario, seed)) not in self._measured
        ]
        before = self.tried
        self._seen |= dict.fromkeys(choices)
        for done, (trial, found) in enumerate(zip(trials, self._measure(trials), strict=True), start=1):
            self._measured[trial] = found
            self._progress(before + (self.tried - before) * done / len(trials))

    def _runs(self, changes: Changes, count: int) -> list[ModelMeasures]:
        return [
            self._measured[Trial(changes, scenario, seed)]
            for seed in self._seeds[:count]
            for scenario in self._scenarios
        ]

    def _figures(self, changes: Changes, count: int) -> Figures:
        runs = self._runs(changes, count)
        return Figures(
            shortfall=sum(max(aim(run) for run in runs) for aim in self._aims),
            loss=max(1 - run.goodput_kept for run in runs),
            p99=max(inf if run.p99_seconds is None else run.p99_seconds for run in runs),
            amplification=max(run.amplification for run in runs),
        )

    def _levels(self, changes: Changes, count: int) -> tuple[float, ...]:
        """The figures, coarse enough that what chance alone may do makes no difference, in the order of their weight.

        An epsilon-dominance (Laumanns, Thiele, Deb and Zitzler 2002).
        """
        found = self._figures(changes, count)
        resolution = self._space.resolution
        return (
            -floor(-found.shortfall / resolution),
            floor(found.loss / self._space.goodput_resolution),
            _level(found.amplification, resolution),
            _level(found.p99, resolution),
        )

    def _order(self, changes: Changes, count: int) -> tuple[tuple[float, ...], int, Changes]:
        return self._levels(changes, count), len(changes), changes

    def _score(self, changes: Changes) -> tuple[tuple[float, ...], int, Changes]:
        return self._order(changes, len(self._seeds))


def _differing(one: Changes, other: Changes) -> list[str]:
    mine, its = dict(one), dict(other)
    return [key for key in sorted({*mine, *its}) if mine.get(key) != its.get(key)]


def _level(value: float, resolution: float) -> float:
    return value if value == inf else floor(log(max(value, _LEAST)) / log(1 + resolution))
