"""What a trained model is used for: predictions, and exports to elsewhere."""
