"""Carries out an announcement at a destination: file, block, link, directory, rename, removal."""
