"""What differs between operating systems: locks of files, owners of files, processes that outlive their parent."""
