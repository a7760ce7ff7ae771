"""The numbers: shipped, and overridden by file, environment and argument."""

from omnibase_infra.presets.resolver import load_presets, preset_table, reload_presets, resolve

__all__ = ["load_presets", "preset_table", "reload_presets", "resolve"]
