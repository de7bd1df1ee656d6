"""The language of programs: reads, writes and gradients as plain data, model cards, and what a card supports."""
