"""cloudtune as an MCP server: tools by which an assistant plans, runs and reads jobs, within the limits of its start."""
