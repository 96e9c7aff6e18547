"""Messages on the wire: announcements and reports (v03), blocks, fingerprints."""
