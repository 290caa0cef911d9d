"""Pages of the documentation that are written from the program, and the tests that compare both."""
