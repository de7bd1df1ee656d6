"""Training sparse dictionaries on activations: closed-form gradients, in which what is not active costs nothing."""
