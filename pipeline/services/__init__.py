"""Local services: started, watched and stopped without containers."""
