"""The whole stack as one decorator: its order named, checked and printed.

A pipeline holds policies from the outermost to the innermost. On a coroutine function the usual order runs as one
wrapper while each policy would just let the call pass; as soon as one has something to decide, its own wrapper takes
over. So every decision stands where it always stands: in the policies and their rules.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from omnibase_infra.enums import EnumInfraTransportType, EnumPipelineStage
from omnibase_infra.errors import ProtocolConfigurationError
from omnibase_infra.infrastructure.resilience.arguments import checked_name, require
from omnibase_infra.infrastructure.resilience.decorate import guarded, is_stream, protect, qualified_name
from omnibase_infra.infrastructure.resilience.flattened import flattened, usual_order
from omnibase_infra.infrastructure.resilience.pipeline_order import Policy, check_order, check_settings, stages_of
from omnibase_infra.infrastructure.resilience.retry_policy import InfrastructureRetryPolicy
from omnibase_infra.infrastructure.resilience.stale_cache import StaleCache
from omnibase_infra.infrastructure.resilience.timeout import Timeout
from omnibase_infra.infrastructure.resilience.translate import translate, translating_async, translating_sync

if TYPE_CHECKING:
    from omnibase_infra.models.resilience.model_pipeline_explanation import ModelPipelineExplanation

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class ResiliencePipeline:
    """Several policies as one decorator, for functions of any kind.

    Whatever the guarded function raises comes out as an ONEX error, save errors of the caller.

    On a plain function, a timeout that may not leave a thread behind (``abandon=True``) cannot interrupt anything: the
    total timeout then only keeps a further attempt from being begun, and the attempt timeout does not apply. Timeouts
    alone, with no other policy, refuse such a function.

    Args:
        policies: From the outermost to the innermost.
        name: The target named in errors.
        transport: Transport of the guarded calls; by default that of the first policy that has one.

    Raises:
        ProtocolConfigurationError: When an order or a setting could never take effect. What works but wastes is a
            `ResilienceWarning`, with the arithmetic.
    """

    def __init__(
        self, *policies: Policy, name: str | None = None, transport: EnumInfraTransportType | None = None
    ) -> None:
        if not policies:
            raise ProtocolConfigurationError("policies: give at least one", parameter="policies")
        if any(isinstance(policy, ResiliencePipeline) for policy in policies):
            raise ProtocolConfigurationError(
                "policies: a pipeline within a pipeline has no one order; give its own policies, *pipeline.policies",
                parameter="policies",
            )
        require(EnumInfraTransportType, "an EnumInfraTransportType", transport=transport)
        self.name: Final = checked_name(name)
        self.policies: Final = policies
        self.stages: Final = stages_of(policies)
        check_order(self.stages)
        check_settings(policies, self.stages)
        known = (policy.transport for policy in policies if policy.transport is not None)
        self.transport: Final = transport or next(known, None)

    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R]:
        """Guard a function of any kind; it keeps its name, signature and type.

        Raises:
            TypeError: When `fn` cannot be guarded by one of the policies.
        """
        self._refuse_stream(fn)
        return protect(fn, self)

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make one guarded call; await what it returns when `fn` is a coroutine function."""
        self._refuse_stream(fn)
        return guarded(fn, self)(*args, **kwargs)

    def explain(self) -> ModelPipelineExplanation:
        """What the settings come to: the longest a call can take, the load in an outage, and more."""
        from omnibase_infra.infrastructure.resilience.explain import explain

        return explain(self)

    def describe(self) -> str:
        """The order, a line a policy, each with its numbers."""
        return self.explain().order_as_text()

    def __str__(self) -> str:
        return " → ".join((*self.stages, "function"))

    def around_async(self, fn: Callable[P, Coroutine[object, None, T]], /) -> Callable[P, Coroutine[object, None, T]]:
        """Guard a coroutine function: by one wrapper for as long as there is nothing to decide."""
        policies, stages = list(self.policies), list(self.stages)
        outermost = policies.pop(0) if stages[0] is EnumPipelineStage.FALLBACK else None
        innermost = policies.pop() if policies and stages[-1] is EnumPipelineStage.CREDENTIAL_REFRESH else None
        work = fn if innermost is None else innermost(fn)
        stages = stages[outermost is not None : len(stages) - (innermost is not None)]
        usual = usual_order(policies, stages)
        operation = qualified_name(fn)
        becomes = partial(self._translate, operation=operation)
        call = stacked = translating_async(_stacked(policies, work), becomes)
        if usual is not None:
            inside_retry = (
                policies[1 + stages.index(EnumPipelineStage.RETRY) :] if usual.retry is not None else policies
            )
            call = flattened(
                usual,
                work,
                again=_stacked(inside_retry, work),
                stacked=stacked,
                translate=becomes,
                operation=operation,
            )
        call.__qualname__ = operation  # what a fallback calls it in its events
        return call if outermost is None else translating_async(outermost(call), becomes)

    def around_sync(self, fn: Callable[P, T], /) -> Callable[P, T]:
        """Guard a plain function, by the stack of the policies' own wrappers."""
        call = fn
        total: float | None = None
        for policy, stage in zip(self.policies, self.stages, strict=True):
            if stage is EnumPipelineStage.TOTAL_TIMEOUT and isinstance(policy, Timeout) and not policy.abandon:
                total = policy.seconds if total is None else min(total, policy.seconds)
        kept = [policy for policy in self.policies if not isinstance(policy, Timeout) or policy.abandon]
        for policy in reversed(kept or self.policies):
            if isinstance(policy, InfrastructureRetryPolicy) and total is not None:
                call = policy.within(total)(call)
            else:
                call = policy(call)
        return translating_sync(call, partial(self._translate, operation=qualified_name(fn)))

    def _refuse_stream(self, fn: Callable[..., object]) -> None:
        """Have a cache refuse a generator function itself: of one, it would only be shown the first item."""
        if is_stream(fn):
            for policy in self.policies:
                if isinstance(policy, StaleCache):
                    policy(fn)

    def _translate(self, exc: Exception, operation: str) -> BaseException:
        return translate(exc, transport=self.transport, operation=operation, target_name=self.name)


def _stacked(
    policies: Sequence[Policy], work: Callable[P, Coroutine[object, None, T]]
) -> Callable[P, Coroutine[object, None, T]]:
    return reduce(lambda inner, policy: policy(inner), reversed(policies), work)


def resilience(
    *policies: Policy, name: str | None = None, transport: EnumInfraTransportType | None = None
) -> ResiliencePipeline:
    """One decorator of these policies, from the outermost to the innermost; see `ResiliencePipeline`.

    Raises:
        ProtocolConfigurationError: When an order or a setting could never take effect.
    """
    return ResiliencePipeline(*policies, name=name, transport=transport)
