"""How good published numbers were once the truth had come, as tables and pictures."""
