"""The strategy ``vizier``: Vertex AI Vizier, or the open google-vizier, suggests trials that run anywhere."""
