"""The client: talks to the gateway, submits code and functions, follows tasks."""
