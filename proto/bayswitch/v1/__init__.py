"""The wire contract of Bayswitch; generated modules stand beside the .proto files."""
