/* ir/names.c -- what a name is, and values by name: an open-addressed hash table. */
#include <stdlib.h>
#include <string.h>

#include "ir/internal.h"

bool
name_starts(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool
name_goes_on(char c)
{
    return name_starts(c) || (c >= '0' && c <= '9') || c == '.';
}

bool
name_is_valid(const char *name, size_t len)
{
    if (!len || !name_starts(name[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!name_goes_on(name[i]))
            return false;
    const bool reserved = (len == 1 && name[0] == '_') ||
                          (len == 3 && (!memcmp(name, "inf", 3) || !memcmp(name, "nan", 3)));
    return !reserved;
}

bool
name_is_made_up(const char *name)
{
    const size_t digits = name[0] == 't' ? strspn(name + 1, "0123456789") : 0;
    return digits && !name[1 + digits];
}

struct NameTable {
    Arena *arena;
    Value **slots;   /* NULL: never used */
    size_t size;     /* a power of two */
    size_t used;     /* values and removed marks */
    int64_t made_up; /* number of the next t1, t2 ... */
    Value removed;   /* marks a slot whose value went away; only its address is used */
};

NameTable *
names_new(Arena *arena)
{
    NameTable *names = arena_alloc(arena, sizeof *names);
    names->arena = arena;
    names->size = 64;
    names->made_up = 1;
    names->slots = arena_array(arena, names->size, sizeof(Value *));
    return names;
}

static size_t
first_slot(const NameTable *names, const char *name, size_t len)
{
    return (size_t)hash_bytes(name, len, 0) & (names->size - 1);
}

Value *
names_find(const NameTable *names, const char *name, size_t len)
{
    size_t i = first_slot(names, name, len);
    for (; names->slots[i]; i = (i + 1) & (names->size - 1)) {
        Value *v = names->slots[i];
        if (v != &names->removed && strncmp(v->name, name, len) == 0 && !v->name[len])
            return v;
    }
    return NULL;
}

static void
insert(NameTable *names, Value *v)
{
    size_t i = first_slot(names, v->name, strlen(v->name));
    while (names->slots[i] && names->slots[i] != &names->removed)
        i = (i + 1) & (names->size - 1);
    names->used += !names->slots[i]; /* marks are used again: names come and go at the same slot */
    names->slots[i] = v;
}

static void
grow(NameTable *names)
{
    Value **old = names->slots;
    const size_t old_size = names->size;
    names->size = old_size * 2;
    names->slots = arena_array(names->arena, names->size, sizeof(Value *));
    names->used = 0;
    for (size_t i = 0; i < old_size; i++)
        if (old[i] && old[i] != &names->removed)
            insert(names, old[i]);
}

void
names_add(NameTable *names, Value *v)
{
    if (names->used * 2 >= names->size)
        grow(names);
    insert(names, v);
}

void
names_remove(NameTable *names, const Value *v)
{
    size_t i = first_slot(names, v->name, strlen(v->name));
    for (; names->slots[i]; i = (i + 1) & (names->size - 1))
        if (names->slots[i] == v)
            names->slots[i] = &names->removed;
}

const char *
names_nearest(const NameTable *names, const char *name)
{
    const char **known = arena_array(names->arena, names->used, sizeof *known);
    size_t count = 0;
    for (size_t i = 0; i < names->size; i++)
        if (names->slots[i] && names->slots[i] != &names->removed)
            known[count++] = names->slots[i]->name;
    return nearest_name(name, known, count, sizeof *known);
}

static bool
suffix_taken(const NameTable *names, const char *wanted, int64_t number)
{
    const char *name = arena_printf(names->arena, "%s.%lld", wanted, (long long)number);
    return names_find(names, name, strlen(name)) != NULL;
}

/* The number of a free name behind a taken one. A name may be taken thousands of times, so the
 * steps double until one is free, and then halve. */
static int64_t
free_suffix(const NameTable *names, const char *wanted)
{
    int64_t taken = 1, next = 2; /* the name without a number is the first */
    for (; suffix_taken(names, wanted, next); next *= 2)
        taken = next;
    while (next - taken > 1) {
        const int64_t middle = taken + (next - taken) / 2;
        *(suffix_taken(names, wanted, middle) ? &taken : &next) = middle;
    }
    return next;
}

const char *
names_fresh(NameTable *names, const char *wanted)
{
    while (!wanted) {
        const char *made = arena_printf(names->arena, "t%lld", (long long)names->made_up++);
        if (!names_find(names, made, strlen(made)))
            return made;
    }
    if (!names_find(names, wanted, strlen(wanted)))
        return arena_strdup(names->arena, wanted);
    return arena_printf(names->arena, "%s.%lld", wanted, (long long)free_suffix(names, wanted));
}

void
names_give_back(NameTable *names, const char *name)
{
    if (name_is_made_up(name) && strtoll(name + 1, NULL, 10) == names->made_up - 1)
        names->made_up--;
}
