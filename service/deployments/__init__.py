"""The Ray Serve deployments: the only folder, with app.py and cli.py, that imports ray."""
