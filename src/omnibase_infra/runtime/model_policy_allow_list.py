"""Which policies a registry takes."""

from __future__ import annotations

from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field


class ModelPolicyAllowList(BaseModel):
    """What is not listed is refused. Each kind of entry that is given must allow the policy; None allows all."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    names: frozenset[str] | None = Field(
        default=None, description="Services and names, with the wildcards of fnmatch: 'orders/*'."
    )
    classes: frozenset[type] | None = Field(
        default=None, description="The classes of the policies themselves; subclasses of theirs are others."
    )
    modules: frozenset[str] | None = Field(
        default=None, description="Where the policies' classes are defined: a module, or a package with all below it."
    )

    def refusal(self, full_name: str, cls: type) -> str | None:
        """Why a policy is not allowed, None when it is."""
        if self.names is not None and not any(fnmatchcase(full_name, pattern) for pattern in self.names):
            return f"the allow-list has no name that {full_name} fits"
        if self.classes is not None and cls not in self.classes:
            return f"the allow-list has no class {cls.__qualname__}"
        if self.modules is not None and not any(f"{cls.__module__}.".startswith(f"{m}.") for m in self.modules):
            return f"the allow-list has no module {cls.__module__}"
        return None
