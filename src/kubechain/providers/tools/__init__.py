"""Tools: Python functions in worker processes and MCP servers, behind the ports of agents/ports/tool.py."""
