"""The method `search`: the latents that tell two sets of texts apart."""
