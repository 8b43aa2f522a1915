"""Tell others how runs go: by webhooks, Slack, e-mail, commands."""
