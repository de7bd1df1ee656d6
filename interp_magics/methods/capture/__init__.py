"""The method `capture`."""
