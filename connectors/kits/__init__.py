"""Protocol kits: how agencies are reached, with no agency named."""
