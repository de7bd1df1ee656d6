"""The method `vector`: a steering vector from contrasting texts."""
