"""The method `side_effects`: what a vector does to texts that have nothing to do with it."""
