"""What the settings of a pipeline come to."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from omnibase_infra.enums import EnumBreakerScope, EnumInfraTransportType, EnumPipelineStage
from omnibase_infra.models.resilience.model_kind_explanation import ModelKindExplanation


class ModelPipelineExplanation(BaseModel):
    """What the settings of a pipeline come to.

    Attributes:
        name: The pipeline's name.
        transport: Transport of the guarded calls.
        order: The policies from the outermost to the innermost, each with its settings in words.
        worst_case_seconds: The longest that one call of a coroutine function takes, if it ends when it is cancelled;
            without a fallback's own time. None when nothing bounds it.
        worst_case_because: The arithmetic of `worst_case_seconds`.
        plain_worst_case_seconds: The same for a plain function, which only a timeout that may leave it behind bounds.
        plain_worst_case_because: The arithmetic of `plain_worst_case_seconds`.
        most_calls: Requests that one call makes of the dependency at most; None when strategies of the user's decide.
        amplification: Requests that the dependency gets for each call at most, beyond `amplification_floor`, while all
            of them fail in a way that is retried and no circuit has opened; None when strategies of the user's decide.
        amplification_floor: Further requests a second that budgets grant in any case, whatever their share.
        breaker_scope: Whether the circuit breaker counts attempts or whole calls; None without one. Of several
            breakers, this and what follows tell of the outermost.
        requests_while_open: Requests a second, at most, that reach the dependency while it keeps failing and the
            circuit opens again and again; None without a circuit breaker, or when nothing bounds them.
        failures_to_open: Counted failures in a row that open the circuit, at any rate.
        lowest_rate_to_open: Attempts or calls a second, whichever the breaker counts, below which its rate window is
            never judged; None without one.
        kinds: What becomes of each kind of failure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None
    transport: EnumInfraTransportType | None
    order: tuple[tuple[EnumPipelineStage, str], ...]
    worst_case_seconds: float | None
    worst_case_because: str
    plain_worst_case_seconds: float | None
    plain_worst_case_because: str
    most_calls: int | None
    amplification: float | None
    amplification_floor: float
    breaker_scope: EnumBreakerScope | None
    requests_while_open: float | None
    failures_to_open: int | None
    lowest_rate_to_open: float | None
    kinds: tuple[ModelKindExplanation, ...]

    def order_as_text(self) -> str:
        """The order, a line a policy."""
        width = max(len(stage) for stage, _ in self.order)
        digits = len(str(len(self.order)))
        return "\n".join(
            f"{place:>{digits}}. {stage:<{width}}  {text}" for place, (stage, text) in enumerate(self.order, 1)
        )

    def __str__(self) -> str:
        most = "as your own strategies decide" if self.most_calls is None else str(self.most_calls)
        lines = [
            f"{self.name or 'pipeline'} ({self.transport or 'no transport'})",
            "",
            self.order_as_text(),
            "",
            f"longest duration of a call      {_longest(self.worst_case_seconds, self.worst_case_because)}",
            f"the same for a plain function   {_longest(self.plain_worst_case_seconds, self.plain_worst_case_because)}",
            f"most requests for one call      {most}",
            f"load while all requests fail    {self._load()}",
            f"load while the circuit is open  {self._probes()}",
            f"the circuit opens               {self._opens()}",
            "",
            f"{'failure':<16}{'retried':<10}{'counted':<10}{'fallback':<10}becomes",
        ]
        lines += [
            f"{row.kind:<16}{_yes(row.retried):<10}{_yes(row.counted):<10}{_yes(row.falls_back):<10}"
            f"{row.becomes or 'passes as it is'}"
            for row in self.kinds
        ]
        return "\n".join(lines)

    def _load(self) -> str:
        if self.amplification is None:
            return "as your own strategies decide"
        floor = (
            f", and up to {self.amplification_floor:g} further requests a second in any case"
            if self.amplification_floor
            else ""
        )
        return f"× {self.amplification:g}{floor}"

    def _probes(self) -> str:
        if self.failures_to_open is None:
            return "there is no circuit"
        if self.requests_while_open is None:
            return "not bounded"
        return f"{self.requests_while_open:.3g} requests a second at most, whatever the number of calls"

    def _opens(self) -> str:
        if self.failures_to_open is None:
            return "never, for there is none"
        counted = f"{self.breaker_scope}s"
        text = f"after {self.failures_to_open} failed {counted} in a row, at any rate"
        if self.lowest_rate_to_open is not None:
            text += f"; by its rate window from {self.lowest_rate_to_open:.3g} {counted} a second on"
        return text


def _longest(seconds: float | None, because: str) -> str:
    return f"{'not bounded' if seconds is None else f'{seconds:g} s'}: {because}"


def _yes(value: bool | None) -> str:  # noqa: FBT001
    return "own rule" if value is None else "yes" if value else "no"
