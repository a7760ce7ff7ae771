"""`onex-resilience demo`: the documented stack carries a real PostgreSQL through a crash."""
