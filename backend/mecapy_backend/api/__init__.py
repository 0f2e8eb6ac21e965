"""The gateway: the app, who asks and may what, and the REST surface."""
