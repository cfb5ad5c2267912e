"""Strange MCP servers, one per seed: what comes of those who talk with them. `python -m tests.fuzz.mcp --help`."""
