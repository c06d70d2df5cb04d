"""A party's side of daily crowds: feeds brought, changes added, figures told and published."""
