"""For those who run the service: /livez, /readyz, /info, /metrics, /docs, /openapi.json, and POST /admin/reload."""
