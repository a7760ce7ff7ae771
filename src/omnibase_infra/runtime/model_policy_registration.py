"""One line of a policy registry's record."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class ModelPolicyRegistration(BaseModel):
    """Who registered what, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sequence: int = Field(description="Counts the registrations of one registry, from 1.")
    service: str = Field(description="The service whose policy it is.")
    name: str = Field(description="The policy's name within the service.")
    version: str = Field(description="The semantic version, with its build part.")
    policy_type: str = Field(description="Module and qualified name of the policy's class.")
    registered_by: str = Field(description="Who registered it, in their own words.")
    registered_at: datetime = Field(description="When, with a time zone.")
    replaced: bool = Field(description="Whether it took the place of a policy of this name and version.")
