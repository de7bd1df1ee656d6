"""The method `train`: dictionaries learned from the activations of texts, slice by slice."""
