"""The gate: Great Expectations decides what a delivery may do to the pool."""
