"""Google Vertex AI: one tuning job there, or a custom job a trial."""
