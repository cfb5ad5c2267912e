"""Tools: Python functions in tool processes and MCP servers, behind the ports of agents/ports/tool.py."""
