/* grammar/kinds.c -- which states ids cannot tell apart.
 *
 * States are of one kind after r rounds if no text of fewer than r bytes shows a difference:
 * Moore's refinement, of which as many rounds are enough as the longest id has bytes, and one. So
 * the states of a text that is counted, far from its end, are one kind. A round looks again only at
 * states of which a successor got another kind in the round before. */
#include <string.h>

#include "grammar/automaton.h"

enum { MOST_REFINING = 1 << 27 /* cells that are looked at, all rounds together */ };

typedef struct {
    uint32_t *state; /* [count], in an array for all states */
    uint32_t count;
} List;

typedef struct {
    const Grammar *g;
    Arena *arena;
    uint32_t *kind_of; /* [nstates] */
    Loop *loops;       /* [nstates] */
    uint32_t nkinds;
    uint32_t *members, *dirty_members; /* [nstates + 1] of each kind */
    uint32_t *from_at, *from;          /* states that lead to one: from[from_at[s] .. [s + 1]] */
    List dirty, moved;
    bool *is_dirty;     /* [nstates] */
    uint32_t *group_of; /* [nstates] new kinds of dirty states */
    uint32_t *slots;    /* [nslots] 1 + a dirty state's place, by signature */
    size_t nslots;
    uint64_t class_groups[256]; /* groups of bytes that a class has some of */
    uint64_t work;
} Kinds;

/* Where a call goes on, as far as this round tells: a rule that has the empty text takes none of
 * the bytes that the round is for. */
static uint32_t
back_kind(const Kinds *k, const Call *call)
{
    return call->empty ? call->back : k->kind_of[call->back];
}

/* What a state shows in a round: its kind, flags and calls, and the kinds that bytes lead to. */
static uint64_t
signature_hash(const Kinds *k, uint32_t state)
{
    const Grammar *g = k->g;
    uint32_t row[256];
    for (uint32_t c = 0; c < g->nclasses; c++)
        row[c] = k->kind_of[g->next[(size_t)state * g->nclasses + c]];
    uint64_t hash = hash_bytes(row, g->nclasses * sizeof *row,
                               (uint64_t)k->kind_of[state] << 8 | g->flags[state]);
    for (uint32_t c = g->call_at[state]; c < g->call_at[state + 1]; c++) {
        const uint32_t call[] = {g->calls[c].start, back_kind(k, &g->calls[c])};
        hash = hash_bytes(call, sizeof call, hash);
    }
    return hash;
}

static bool
signature_equal(const Kinds *k, uint32_t a, uint32_t b)
{
    const Grammar *g = k->g;
    const uint32_t ncalls = g->call_at[a + 1] - g->call_at[a];
    if (k->kind_of[a] != k->kind_of[b] || g->flags[a] != g->flags[b] ||
        ncalls != g->call_at[b + 1] - g->call_at[b])
        return false;
    for (uint32_t i = 0; i < ncalls; i++) {
        const Call *x = &g->calls[g->call_at[a] + i], *y = &g->calls[g->call_at[b] + i];
        if (x->start != y->start || back_kind(k, x) != back_kind(k, y))
            return false;
    }
    for (uint32_t c = 0; c < g->nclasses; c++)
        if (k->kind_of[g->next[(size_t)a * g->nclasses + c]] !=
            k->kind_of[g->next[(size_t)b * g->nclasses + c]])
            return false;
    return true;
}

/* ---- predecessors --------------------------------------------------------------------------- */

/* Tells of each state that a state leads to, by bytes or behind a call; many times, some. */
static void
count_or_list(Kinds *k, uint32_t state, bool list)
{
    const Grammar *g = k->g;
    uint32_t last = NO_STATE;
    for (uint32_t c = 0; c < g->nclasses; c++) {
        const uint32_t next = g->next[(size_t)state * g->nclasses + c];
        if (next == NO_STATE || next == last)
            continue;
        last = next;
        if (list)
            k->from[k->from_at[next]++] = state;
        else
            k->from_at[next + 2]++;
    }
    for (uint32_t c = g->call_at[state]; c < g->call_at[state + 1]; c++) {
        if (list)
            k->from[k->from_at[g->calls[c].back]++] = state;
        else
            k->from_at[g->calls[c].back + 2]++;
    }
}

static void
find_predecessors(Kinds *k)
{
    const uint32_t n = k->g->nstates;
    k->from_at = arena_array(k->arena, (size_t)n + 2, sizeof *k->from_at);
    for (uint32_t s = 0; s < n; s++)
        count_or_list(k, s, false);
    for (uint32_t s = 1; s < n + 2; s++)
        k->from_at[s] += k->from_at[s - 1];
    k->from = arena_array(k->arena, k->from_at[n + 1], sizeof *k->from);
    k->from_at++; /* each start is moved to where the next list starts, and so one back again */
    for (uint32_t s = 0; s < n; s++)
        count_or_list(k, s, true);
    k->from_at--;
}

/* ---- rounds --------------------------------------------------------------------------------- */

/* Gives each dirty state the number of its group: states of one kind that show the same. A kind
 * whose members are all dirty stays the number of the first group; other groups are new kinds. */
static void
group_dirty(Kinds *k)
{
    const uint32_t before = k->nkinds;
    memset(k->slots, 0, k->nslots * sizeof *k->slots);
    for (uint32_t i = 0; i < k->dirty.count; i++)
        k->dirty_members[k->kind_of[k->dirty.state[i]]]++;
    for (uint32_t i = 0; i < k->dirty.count; i++) {
        const uint32_t state = k->dirty.state[i], kind = k->kind_of[state];
        size_t at = signature_hash(k, state);
        while (k->slots[at & (k->nslots - 1)] &&
               !signature_equal(k, k->dirty.state[k->slots[at & (k->nslots - 1)] - 1], state))
            at++;
        uint32_t *slot = &k->slots[at & (k->nslots - 1)];
        if (*slot) {
            k->group_of[i] = k->group_of[*slot - 1];
            continue;
        }
        *slot = i + 1;
        const bool keeps = k->dirty_members[kind] == k->members[kind];
        k->group_of[i] = keeps ? kind : k->nkinds++;
        if (keeps)
            k->dirty_members[kind] = 0; /* it is taken */
    }
    for (uint32_t i = 0; i < k->dirty.count; i++)
        k->dirty_members[k->kind_of[k->dirty.state[i]]] = 0;
    k->work += (uint64_t)k->dirty.count * k->g->nclasses + (k->nkinds - before);
}

static void
move_dirty(Kinds *k)
{
    k->moved.count = 0;
    for (uint32_t i = 0; i < k->dirty.count; i++) {
        const uint32_t state = k->dirty.state[i], old = k->kind_of[state];
        k->is_dirty[state] = false;
        if (k->group_of[i] == old)
            continue;
        k->members[old]--;
        k->members[k->group_of[i]]++;
        k->kind_of[state] = k->group_of[i];
        k->moved.state[k->moved.count++] = state;
    }
    k->dirty.count = 0;
    for (uint32_t i = 0; i < k->moved.count; i++) {
        const uint32_t state = k->moved.state[i];
        for (uint32_t f = k->from_at[state]; f < k->from_at[state + 1]; f++) {
            if (k->is_dirty[k->from[f]])
                continue;
            k->is_dirty[k->from[f]] = true;
            k->dirty.state[k->dirty.count++] = k->from[f];
        }
    }
}

/* ---- loops ---------------------------------------------------------------------------------- */

/* Groups of which every byte leads from a state to one of the same kind. */
static uint64_t
groups_of(const Kinds *k, uint32_t state)
{
    const Grammar *g = k->g;
    uint64_t groups = g->flags[state] & STATE_calls ? 0 : UINT64_MAX;
    for (uint32_t class = 0; class < g->nclasses && groups; class ++) {
        const uint32_t next = g->next[(size_t)state * g->nclasses + class];
        if (next == NO_STATE || k->kind_of[next] != k->kind_of[state])
            groups &= ~k->class_groups[class];
    }
    return groups;
}

/* A state that after r rounds is of one kind with where a byte leads reads r - 1 such bytes: behind
 * the first it is where the same holds with one round less. Where no group is left, those of the
 * round before hold for as many bytes as that has shown. */
static void
find_loop(Kinds *k, uint32_t state, uint32_t rounds)
{
    Loop *loop = &k->loops[state];
    if (loop->depth < UINT32_MAX)
        return;
    const uint64_t groups = groups_of(k, state);
    if (groups)
        loop->groups = groups;
    else
        loop->depth = rounds > 2 ? rounds - 2 : 0;
}

static void
find_loops(Kinds *k, uint32_t rounds)
{
    for (uint32_t i = 0; i < k->moved.count; i++)
        find_loop(k, k->moved.state[i], rounds);
    for (uint32_t i = 0; i < k->dirty.count; i++)
        find_loop(k, k->dirty.state[i], rounds);
    k->work += ((uint64_t)k->moved.count + k->dirty.count) * k->g->nclasses;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void
begin(Kinds *k)
{
    const size_t n = k->g->nstates;
    k->nslots = 1024;
    while (k->nslots < n * 2)
        k->nslots *= 2;
    k->slots = arena_array(k->arena, k->nslots, sizeof *k->slots);
    k->members = arena_array(k->arena, n + 1, sizeof *k->members);
    k->dirty_members = arena_array(k->arena, n + 1, sizeof *k->dirty_members);
    k->is_dirty = arena_array(k->arena, n, sizeof *k->is_dirty);
    k->group_of = arena_array(k->arena, n, sizeof *k->group_of);
    k->dirty.state = arena_array(k->arena, n, sizeof *k->dirty.state);
    k->moved.state = arena_array(k->arena, n, sizeof *k->moved.state);
    find_predecessors(k);
    for (int byte = 0; byte < 256; byte++)
        k->class_groups[k->g->class_of[byte]] |= UINT64_C(1) << byte_group((uint8_t)byte);
    for (uint32_t s = 0; s < n; s++) {
        k->kind_of[s] = 0;
        k->loops[s] = (Loop){0, UINT32_MAX};
        k->dirty.state[k->dirty.count++] = s;
    }
    k->nkinds = 1;
    k->members[0] = (uint32_t)n;
}

uint32_t
kinds_find(const Grammar *grammar, uint32_t depth, uint32_t *kind_of, Loop *loops)
{
    Kinds k = {.g = grammar, .arena = arena_new(), .kind_of = kind_of, .loops = loops};
    begin(&k);
    for (uint32_t rounds = 1; rounds <= depth + 1 && k.dirty.count > 0; rounds++) {
        group_dirty(&k);
        move_dirty(&k);
        if (rounds == 1)
            for (uint32_t s = 1; s < grammar->nstates; s++)
                find_loop(&k, s, rounds);
        else
            find_loops(&k, rounds);
        if (k.work <= MOST_REFINING)
            continue;
        /* Each state is a kind of its own, and what is known of loops holds for no bytes. */
        for (uint32_t s = 0; s < grammar->nstates; s++) {
            kind_of[s] = s;
            loops[s] = (Loop){0};
        }
        k.nkinds = grammar->nstates;
        break;
    }
    arena_free(k.arena);
    return k.nkinds;
}
