"""People's own folders of images: what is in them, and which image is of which class and part."""
