"""The policies for classes that guard their own methods by hand."""

from omnibase_infra.mixins.mixin_async_circuit_breaker import MixinAsyncCircuitBreaker

__all__ = ["MixinAsyncCircuitBreaker"]
