"""Evidence of what was done under a contract, for an auditor: one file that proves itself without a node."""
