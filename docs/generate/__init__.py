"""What the build of the documentation makes of the code: the pages of the spec, of the commands and of the Python API."""
