"""What a real API server answered to several hundred requests: stories as data, their player, their recorder."""
