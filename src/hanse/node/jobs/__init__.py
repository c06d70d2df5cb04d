"""Jobs at a node: asked for, agreed to, run as each role, repeated by a timetable."""
