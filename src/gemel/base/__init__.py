"""What every layer stands on: errors, configuration, ids, time, units and plugins; imports nothing above it."""
