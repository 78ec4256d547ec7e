"""A server of the `websocket` kind (Node, ws) and a receiver page as its users have one, for tests."""
