"""The same work by us and by peers, each in an environment of its own."""
