"""The method `evaluate`: what a dictionary is worth, in numbers and in the model."""
