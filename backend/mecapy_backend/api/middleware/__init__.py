"""What each request and connection passes before a route sees it."""
