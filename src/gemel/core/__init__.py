"""What every twin is made with: graphs and runs, streams and state, checks and uncertainty."""
