"""What every room may import: settings, errors and logging. It imports none of them."""
