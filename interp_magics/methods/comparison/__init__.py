"""The method `comparison`: several ways to move the same answers, and what each does beside."""
