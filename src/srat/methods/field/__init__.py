"""The field's methods (a file each), named after their modules."""
