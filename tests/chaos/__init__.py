"""Seeded worlds in which everything goes wrong: one seed, one world, always the same one.

The controllers and the store are the real ones; the API between them, the models, the tools and the people are
made by the seed and fail as it says. Time is not real. `python -m tests.chaos --seeds 0:5000` runs a range.
"""
