"""The networks, from tensors to tensors."""
