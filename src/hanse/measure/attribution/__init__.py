"""Attribution: which contacts conversions are credited to, by five models (`protocol`)."""
