"""What the emulators of cloud services share: processes in the image's place, folders shown where a container has them, faults."""
