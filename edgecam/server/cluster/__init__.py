"""Several instances of the signaling server as one: who has which camera, and what passes between them."""
