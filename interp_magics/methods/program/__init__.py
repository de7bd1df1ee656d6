"""The method `program`."""
