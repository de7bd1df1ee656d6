"""The method `generate`."""
