/* ir/attrs.c -- attribute lists of nodes and kernels. */
#include <string.h>

#include "ir/internal.h"

const Attr *
attrs_find(const AttrList *list, AttrId id)
{
    for (int i = 0; i < list->count; i++)
        if (list->items[i].id == id)
            return &list->items[i];
    return NULL;
}

/* The attribute with everything it points to in the arena. */
static Attr
attr_own(Arena *arena, Attr attr)
{
    const size_t count = (size_t)attr.count;
    attr.word = arena_strdup(arena, attr.word);
    if (attr.ints)
        attr.ints =
            arena_grow(arena, (void *)(uintptr_t)attr.ints, count, count, sizeof *attr.ints);
    if (attr.nums)
        attr.nums =
            arena_grow(arena, (void *)(uintptr_t)attr.nums, count, count, sizeof *attr.nums);
    return attr;
}

void
attrs_set(Arena *arena, AttrList *list, Attr attr)
{
    const Attr own = attr_own(arena, attr);
    int at = 0;
    while (at < list->count && list->items[at].id < own.id)
        at++;
    if (at < list->count && list->items[at].id == own.id) {
        list->items[at] = own;
        return;
    }
    VEC_PUSH(arena, list->items, list->count, list->cap, own);
    for (int i = list->count - 1; i > at; i--)
        list->items[i] = list->items[i - 1];
    list->items[at] = own;
}

void
attrs_remove(AttrList *list, AttrId id)
{
    int kept = 0;
    for (int i = 0; i < list->count; i++)
        if (list->items[i].id != id)
            list->items[kept++] = list->items[i];
    list->count = kept;
}

Attr
attr_int(AttrId id, int64_t i)
{
    return (Attr){.id = id, .i = i};
}

Attr
attr_num(AttrId id, double num)
{
    return (Attr){.id = id, .num = num};
}

Attr
attr_word(AttrId id, const char *word)
{
    return (Attr){.id = id, .word = word};
}

int64_t
node_int(const Node *n, AttrId id, int64_t otherwise)
{
    const Attr *attr = attrs_find(&n->attrs, id);
    return attr ? attr->i : otherwise;
}

double
node_num(const Node *n, AttrId id, double otherwise)
{
    const Attr *attr = attrs_find(&n->attrs, id);
    return attr ? attr->num : otherwise;
}

const char *
node_word(const Node *n, AttrId id, const char *otherwise)
{
    const Attr *attr = attrs_find(&n->attrs, id);
    return attr ? attr->word : otherwise;
}
