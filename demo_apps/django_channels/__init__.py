"""A Channels project: consumers that use threads, and a room that spans the workers, or not."""
