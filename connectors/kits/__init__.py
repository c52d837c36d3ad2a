"""Protocol kits: one module a protocol, no agency named."""
