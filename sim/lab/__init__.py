"""Real inference: a small language model, a batching engine on ONNX Runtime, a load client, and what they measure."""
