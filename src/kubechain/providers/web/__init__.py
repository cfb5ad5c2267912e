"""What tools that speak HTTP share: the address guard, requests, credentials. Used by the kinds in `tools`."""
