"""Tools: Python functions in tool processes and MCP servers, which implement the port in agents/ports/tool.py."""
