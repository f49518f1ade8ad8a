"""What becomes of each image, counts per class, groups, and the files that hold them."""
