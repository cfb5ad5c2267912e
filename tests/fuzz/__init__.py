"""Fuzzers: seeded, structure-aware, as strange as the world."""
