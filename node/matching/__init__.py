"""Pure ranking: which offers to ask about a need, which mentors to propose for it, and how words lead to concepts.

No clock, no store, no randomness and no log: the same input gives the same ranks on every node.
"""
