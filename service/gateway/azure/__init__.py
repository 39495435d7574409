"""/azure: what clients of Azure's Translator ask, answered in its shapes."""
