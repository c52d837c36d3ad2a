"""A synthetic county of persons and families that lives through nights."""
