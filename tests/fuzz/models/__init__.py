"""Strange replies of model servers, made by seed, through the real adapters over real sockets."""
