"""Entry points of installed distributions, and the extras that install optional packages."""
