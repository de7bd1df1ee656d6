"""The reference engine: programs on Hugging Face transformers models, by hooks and an own decoding loop."""
