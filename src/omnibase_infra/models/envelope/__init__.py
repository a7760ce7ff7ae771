"""What a message is wrapped in: whose it is, what caused it, when and where it came from."""

from omnibase_infra.models.envelope.model_envelope import ModelEnvelope

__all__ = ["ModelEnvelope"]
