"""The commands of `triptych`, a module for each; `service.cli` puts them together."""
