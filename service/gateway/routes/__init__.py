"""The endpoints. Each only reads, asks and renders; what it needs it is given by `create_app`."""
