"""What can be requested, a module a subject."""
