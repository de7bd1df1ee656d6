"""The method `tokenize`."""
