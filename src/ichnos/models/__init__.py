"""Networks in torch: the input layer, backbones, heads, first weights and checkpoints."""
