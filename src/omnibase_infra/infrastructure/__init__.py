"""Infrastructure of ONEX services."""
