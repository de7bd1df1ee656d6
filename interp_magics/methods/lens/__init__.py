"""The method `lens`."""
