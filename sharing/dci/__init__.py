"""The DCI social-registry interface, version 1.0.0, over the same answers as the native one."""
