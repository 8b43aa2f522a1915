"""What a job becomes on a provider: the request, a note for each of its leaves, native settings merged in."""
