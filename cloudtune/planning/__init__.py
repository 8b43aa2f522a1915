"""What a provider makes of a job: the request, a note for each of its leaves, native settings merged in."""
