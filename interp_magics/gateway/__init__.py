"""A pool's models, and interventions on them, to clients of the OpenAI API."""
