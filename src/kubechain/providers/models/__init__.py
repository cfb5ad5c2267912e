"""Adapters for the APIs of model providers. They implement the port ModelProvider."""
