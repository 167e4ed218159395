"""What a config for one's own images is made of: the images, the networks, how the student grows."""
