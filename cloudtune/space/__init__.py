"""Parameters, their axes, and the codecs by which a service's search space carries them."""
