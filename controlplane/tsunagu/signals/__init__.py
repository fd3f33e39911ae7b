"""What the Envoys of the mesh have counted: differences between readings, an hour of them, and what follows from them. Pure."""
