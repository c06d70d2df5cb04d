"""TODO catalog"""
