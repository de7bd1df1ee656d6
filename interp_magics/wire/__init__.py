"""The wire: messages, frames and buffers, keys, spool files."""
