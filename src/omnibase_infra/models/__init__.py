"""Frozen settings and records."""
