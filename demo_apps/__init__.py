"""The applications under test: five stacks behind one HTTP contract (see ``README.md``)."""
