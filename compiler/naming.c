/* compiler/naming.c -- a checkpoint whose names all carry a prefix, or lack one: training tools
 * wrap models (module., _orig_mod.), and a base model is stored without backbone.
 *
 * A candidate is a pair of prefixes (drop, add) under which some tensor is the first weight of the
 * graph: tensor = add + rest, spelling = drop + rest, with the longest rest that starts a name. The
 * candidate under which most weights are found is chosen. */
#include <string.h>

#include "compiler/internal.h"

static const RtTensor *
find_joined(const ssmc_weights *weights, const char *add, const char *name, size_t len)
{
    StrBuf sb = {0};
    sb_puts(&sb, add);
    sb_putn(&sb, name, len);
    const RtTensor *t = rt_weights_find(weights, sb_text(&sb));
    sb_free(&sb);
    return t;
}

/* Names outside the part that the prefix belongs to, such as that of the head, may carry what was
 * added, or nothing. */
static const RtTensor *
find_one(const Naming *n, const char *name, size_t len)
{
    if (!n->add)
        return find_joined(n->weights, "", name, len);
    const size_t drop = strlen(n->drop);
    const RtTensor *t = NULL;
    if (len > drop && strncmp(name, n->drop, drop) == 0)
        t = find_joined(n->weights, n->add, name + drop, len - drop);
    if (!t)
        t = find_joined(n->weights, n->add, name, len);
    return t ? t : find_joined(n->weights, "", name, len);
}

/* Of the tensors of a spelling, a name or several with '+' between them, how many are there, *first
 * of them; *missing: the first that is not. list NULL: they are counted only. */
static int
find_members(const Naming *n, const char *names, size_t len, const RtTensor **list,
             const RtTensor **first, const char **missing)
{
    int count = 0;
    *first = find_one(n, names, len);
    *missing = NULL;
    if (*first && list)
        list[0] = *first;
    if (*first)
        return 1;
    for (size_t at = 0, end; at < len; at = end + 1) {
        const char *plus = memchr(names + at, '+', len - at);
        end = plus ? (size_t)(plus - names) : len;
        const RtTensor *t = find_one(n, names + at, end - at);
        if (!t && !*missing)
            *missing = names + at;
        if (!t)
            continue;
        if (list)
            list[count] = t;
        if (count++ == 0)
            *first = t;
    }
    return count;
}

int
naming_members(const Naming *naming, Arena *arena, const char *spellings, const RtTensor ***list,
               const char **missing)
{
    const RtTensor *first;
    const char *first_missing = NULL;
    int some = 0;
    size_t most = 2;
    for (const char *at = spellings; *at; at++)
        most += *at == '|' || *at == '+';
    *list = arena_array(arena, most, sizeof **list);
    for (const char *at = spellings; *at;) {
        const size_t len = strcspn(at, "|");
        const int count = find_members(naming, at, len, *list + some, &first, missing);
        if (count && !*missing) {
            *list += some;
            return count;
        }
        some += count;
        first_missing = first_missing ? first_missing : *missing;
        at += len + (at[len] == '|');
    }
    *missing =
        first_missing ? arena_strndup(arena, first_missing, strcspn(first_missing, "|+")) : "";
    return 0;
}

const RtTensor *
naming_find(const Naming *naming, const char *spellings)
{
    for (const char *at = spellings; *at;) {
        const size_t len = strcspn(at, "|");
        const RtTensor *first;
        const char *missing;
        if (find_members(naming, at, len, NULL, &first, &missing) && !missing)
            return first;
        at += len + (at[len] == '|');
    }
    return NULL;
}

static const char *
spellings_of(const Value *w)
{
    return w->tensor ? w->tensor : w->name;
}

static int
count_found(const Naming *naming, const Graph *g)
{
    int found = 0;
    for (int i = 0; i < g->nweights; i++) {
        found += naming_find(naming, spellings_of(g->weights[i])) != NULL;
        if (i == 0 && !found)
            return 0; /* a candidate fits the first weight, or nothing */
    }
    return found;
}

/* Where the longest common end of two names starts that is whole parts of both; the lengths before
 * it. False: it is neither all of a nor two parts. */
static bool
common_end(const char *a, size_t na, const char *b, size_t nb, size_t *at_a, size_t *at_b)
{
    size_t n = 0;
    int parts = 0;
    while (n < na && n < nb && a[na - n - 1] == b[nb - n - 1]) {
        n++;
        const bool starts_a = n == na || a[na - n - 1] == '.';
        const bool starts_b = n == nb || b[nb - n - 1] == '.';
        if (!starts_a || !starts_b)
            continue;
        *at_a = na - n;
        *at_b = nb - n;
        parts++;
    }
    return parts >= 2 || (parts && *at_a == 0);
}

Naming
naming_choose(Arena *arena, const Graph *g, const ssmc_weights *weights, int *found)
{
    enum { MOST_CANDIDATES = 64 }; /* names come from files: no choice of them makes this slow */
    Naming best = {.weights = weights};
    int candidates = 0;
    *found = 0;
    for (int i = 0; i < g->nweights; i++)
        *found += naming_find(&best, spellings_of(g->weights[i])) != NULL;
    const char *first = g->nweights && *found < g->nweights ? spellings_of(g->weights[0]) : "";
    for (size_t len; (len = strcspn(first, "|")) > 0; first += len + (first[len] == '|'))
        for (int k = 0; k < rt_weights_count(weights) && *found < g->nweights; k++) {
            const char *name = rt_weights_at(weights, k)->name;
            size_t drop = 0, add = 0;
            if (!common_end(first, len, name, strlen(name), &drop, &add) || (!drop && !add) ||
                candidates++ >= MOST_CANDIDATES)
                continue;
            const Naming candidate = {weights, arena_strndup(arena, first, drop),
                                      arena_strndup(arena, name, add)};
            const int count = count_found(&candidate, g);
            if (count <= *found)
                continue;
            *found = count;
            best = candidate;
        }
    return best;
}
