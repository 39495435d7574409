"""The service: engine, Ray Serve deployments, HTTP gateway, observability, command line."""
