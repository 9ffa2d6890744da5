"""Set-up: components and their options, plugins and the registry, run files and overrides."""
