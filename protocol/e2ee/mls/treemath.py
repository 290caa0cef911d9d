"""Numbers of nodes in a left-balanced binary tree kept as an array: leaves are even, parents odd (RFC 9420 §C).

`leaves` is the width of the tree, always a power of two; a leaf's number is half of its node's.
"""


def node_width(leaves: int) -> int:
    """Return the number of nodes."""
    return 2 * leaves - 1


def root(leaves: int) -> int:
    """Return the root node."""
    return leaves - 1


def level(node: int) -> int:
    """Return the height of a node above the leaves."""
    return (node ^ (node + 1)).bit_length() - 1


def left(node: int) -> int:
    """Return the left child of a parent node."""
    return node ^ (1 << (level(node) - 1))


def right(node: int) -> int:
    """Return the right child of a parent node."""
    return node ^ (3 << (level(node) - 1))


def parent(node: int) -> int:
    """Return the parent of a node in any tree wide enough to have one."""
    height = level(node)
    return (node | 1 << height) & ~(1 << height + 1)


def sibling(node: int) -> int:
    """Return the other child of a node's parent."""
    above = parent(node)
    return right(above) if node < above else left(above)


def direct_path(node: int, leaves: int) -> tuple[int, ...]:
    """Return the ancestors of a node, from its parent to the root."""
    path, top = [], root(leaves)
    while node != top:
        node = parent(node)
        path.append(node)
    return tuple(path)


def under(node: int, ancestor: int) -> bool:
    """Return whether `node` is `ancestor` or stands below it."""
    reach = (1 << level(ancestor)) - 1
    return ancestor - reach <= node <= ancestor + reach
