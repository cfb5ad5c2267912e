"""The models outside: adapters for each provider's wire, behind the port ModelProvider."""
