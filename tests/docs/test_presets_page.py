"""docs/reference/presets.md says what the code does."""

from __future__ import annotations

from tests.docs.presets_page import PAGE, written

from omnibase_infra.infrastructure.resilience.pipeline_factory import FACTORIES


def test_the_page_holds_what_explain_says_of_every_transport_and_every_shipped_number() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "stale; run `python -m tests.docs.presets_page`"
    assert all(str(factory().explain()) in page for factory in FACTORIES.values())
