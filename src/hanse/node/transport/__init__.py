"""Nodes and their connections: mutual TLS, lasting links, streams of frames, questions between nodes."""
