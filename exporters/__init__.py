"""Trained networks and their decoding as ONNX graphs, the proof that both agree, and the bundle."""
