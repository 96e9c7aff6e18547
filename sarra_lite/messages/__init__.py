"""Message format v03 of Sarracenia: announcements, reports, blocks of a file, identities."""
