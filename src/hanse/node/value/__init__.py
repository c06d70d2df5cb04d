"""What data was used for, and what the parties owe one another for it."""
