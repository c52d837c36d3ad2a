"""Who is the same person, and which persons are one household. Pure: tables in, tables out."""
