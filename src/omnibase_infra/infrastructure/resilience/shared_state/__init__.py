"""State beyond one process, in Redis or Valkey."""
