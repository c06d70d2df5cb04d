"""Portrait: a crowd by the labels that other organisations know, against a base crowd (`protocol`)."""
