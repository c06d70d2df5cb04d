"""A party's side of model jobs: rows brought, parts kept, scores taken home."""
