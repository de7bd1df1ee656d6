"""The broker: who may speak, what waits, what runs where, and where results lie. No torch."""
