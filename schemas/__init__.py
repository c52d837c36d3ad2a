"""The contracts agreed with each agency, the canonical concepts, and the code sets."""
