"""Model adapters over real HTTP: the scripted model, servers that misbehave, never a real provider."""
