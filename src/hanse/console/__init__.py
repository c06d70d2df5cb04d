"""The house for people: one organisation's web console and the API that other systems read."""
