"""The experiment with its controls: rows at one budget, scored alike, in one table."""
