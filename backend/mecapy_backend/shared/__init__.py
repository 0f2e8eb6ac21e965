"""What gateway and worker both use: settings, logs, health, metrics."""
