"""The gateway: app, authentication, rights, and the REST routes."""
