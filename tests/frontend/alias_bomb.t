Aliases are expanded only so far.
--ARGS--
compile @IN@
--IN yaml--
a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
--ERR--
error: too many entries: a file holds at most 20000, aliases expanded
--EXIT--
2
