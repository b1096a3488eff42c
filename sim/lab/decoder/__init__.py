"""A Llama-shaped decoder on ONNX Runtime.

`decoder` runs it, `graph` builds it from `weights`, and `shapes` stand for public models.
"""
