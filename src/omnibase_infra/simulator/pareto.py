"""Which of several results no other beats; every figure is the better the lower it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one is at least as good in every figure, and better in one of them."""
    return all(mine <= its for mine, its in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def front(items: Iterable[T], figures: Callable[[T], Sequence[float]]) -> list[T]:
    """Those that no other dominates, of equals the first, in the order given."""
    kept: dict[tuple[float, ...], T] = {}
    for item in items:
        mine = tuple(figures(item))
        if mine not in kept and not any(dominates(its, mine) for its in kept):
            kept = {its: other for its, other in kept.items() if not dominates(mine, its)} | {mine: item}
    return list(kept.values())
