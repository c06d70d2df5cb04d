"""How good a model is, told without telling rows: figures from shares, the report that all models share."""
