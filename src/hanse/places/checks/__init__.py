"""What is wrong with a feed, found before anything is learned from it: `checks` runs all rules."""
