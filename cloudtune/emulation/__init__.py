"""Code shared by the emulators of cloud services: HTTP servers, job processes, mounts, injected faults."""
