"""Every performance and quality figure that is quoted, and how to get it again."""
