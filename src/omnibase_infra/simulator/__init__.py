"""The shipping policies under virtual time: what a setting does before production does."""
