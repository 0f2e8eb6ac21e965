"""The REST API, one file per noun. Routes check, call the store, and answer."""
