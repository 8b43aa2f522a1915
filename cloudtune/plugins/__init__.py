"""What installed distributions bring: entry points, and the extras that bring optional packages."""
