"""A worker group: a nanny that lives as long as its parent, and the process that holds the model."""
