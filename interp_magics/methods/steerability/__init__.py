"""The method `steerability`: what a vector does to answers, at each scale."""
