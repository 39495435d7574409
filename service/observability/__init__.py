"""Metrics, logging and tracing: the only folder that imports prometheus_client."""
