"""The command line: `onex-resilience`."""
