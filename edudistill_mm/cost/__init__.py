"""What a training costs, counted without training."""
