"""The method `features`: where, how strongly and on what every latent of a dictionary is active."""
