"""What runs a program on a model: sites of each family, the lens kernel, and one sub-package per execution engine."""
