# Work for Python: objects, dictionaries, recursion, strings and large integers.
import json
import re


class Node:
    def __init__(self, depth):
        self.depth = depth
        self.children = [Node(depth - 1) for _ in range(2)] if depth else []

    def total(self):
        return self.depth + sum(child.total() for child in self.children)


def queens(size, row=0, columns=0, left=0, right=0):
    if row == size:
        return 1
    count = 0
    for column in range(size):
        bit, l, r = 1 << column, 1 << (row + column), 1 << (row - column + size)
        if not (columns & bit or left & l or right & r):
            count += queens(size, row + 1, columns | bit, left | l, right | r)
    return count


words = {}
for i in range(20000):
    word = "w%d" % (i * i % 997)
    words[word] = words.get(word, 0) + i
text = json.dumps(words, sort_keys=True)
print(Node(11).total(), queens(7), len(json.loads(text)), pow(3, 20000) % 1000007)
print(sum(len(m) for m in re.findall(r"w\d*7\b", text)))
