"""The answers the pool gives: to whom they are due, for a named purpose, with a receipt."""
