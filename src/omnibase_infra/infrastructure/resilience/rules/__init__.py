"""Decisions as plain functions of state and time: no clock, no lock, no randomness, no I/O."""
