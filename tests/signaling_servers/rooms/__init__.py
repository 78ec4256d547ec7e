"""A server of the `rooms` kind (FastAPI, uvicorn) and a page as its users have one, for tests."""
