"""The production engine: the same programs on vLLM, which schedules, pages and shares what it serves."""
