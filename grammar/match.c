/* grammar/match.c -- where one text is, and which ids may come next.
 *
 * The ids at a place are found by walking the vocabulary's trie along the automata, once for each
 * kind of topmost state; where the walk leaves that state's rule with bytes still to come it goes
 * on, for those few nodes, in the frame below, and so on down. Each of these steps is remembered in
 * the Memo, which all matches of a grammar and a vocabulary share; so a mask is, as a rule, the
 * union of a few that are known (as XGrammar's adaptive token masks, Dong et al. 2024). */
#include <stdlib.h>
#include <string.h>

#include "grammar/automaton.h"

enum {
    MOST_MEMORY = 1 << 26, /* bytes that a Memo may have; more is found again each time */
    MOST_WORK = 1 << 25,   /* places that one walk may follow */
};

/* A level of a walk down the trie: places at a node, and where its subtree ends. */
typedef struct {
    size_t from, to;
    uint32_t end;
} Level;

struct GrammarMatch {
    const Grammar *grammar;
    const GrammarVocab *vocab;
    Memo *memo;
    Follower text; /* along the text */
    Places places, spare;
    bool may_end;
    /* Of walks; what lies here is used anew by each. */
    Follower walk;
    Places walked;
    Level *levels;     /* [depth + 1] */
    uint64_t *words;   /* [(size + 63) / 64] */
    uint32_t *exits;   /* [nnodes] nodes where the frames end, with more below */
    uint64_t *is_exit; /* [(nnodes + 63) / 64] */
    uint32_t nexits;
    bool inherits;
    Found *own; /* what the memo had no memory for; gone with the next mask */
};

static void *
zeroed(size_t count, size_t size)
{
    void *new = calloc(count ? count : 1, size);
    if (!new)
        die_no_memory(count * size);
    return new;
}

static size_t
word_count(const GrammarVocab *vocab)
{
    return ((size_t)vocab->size + 63) / 64;
}

GrammarMatch *
grammar_match_new(const Grammar *grammar, const GrammarVocab *vocab)
{
    GrammarMatch *m = zeroed(1, sizeof *m);
    m->grammar = m->text.grammar = m->walk.grammar = grammar;
    m->vocab = vocab;
    m->memo = memo_of(grammar, vocab);
    m->levels = zeroed((size_t)vocab->depth + 1, sizeof *m->levels);
    m->words = zeroed(word_count(vocab), sizeof *m->words);
    m->exits = zeroed(vocab->nnodes, sizeof *m->exits);
    m->is_exit = zeroed((size_t)vocab->nnodes / 64 + 1, sizeof *m->is_exit);
    m->may_end = follow(&m->text, (Place){grammar->start, 0}, &m->places);
    return m;
}

static void
drop_own(GrammarMatch *m)
{
    while (m->own) {
        Found *next = m->own->next;
        found_free(m->own);
        m->own = next;
    }
}

void
grammar_match_free(GrammarMatch *m)
{
    if (!m)
        return;
    drop_own(m);
    follower_free(&m->text);
    follower_free(&m->walk);
    free(m->places.at);
    free(m->spare.at);
    free(m->walked.at);
    free(m->levels);
    free(m->words);
    free(m->exits);
    free(m->is_exit);
    free(m);
}

/* ---- walking the trie ----------------------------------------------------------------------- */

/* Ids that end at nodes from `node` on, before `end`. */
static void
allow_nodes(GrammarMatch *m, uint32_t node, uint32_t end)
{
    const GrammarVocab *v = m->vocab;
    for (uint32_t i = v->first[node]; i < v->first[end]; i++)
        m->words[v->ids[i] / 64] |= UINT64_C(1) << (v->ids[i] % 64);
}

static void
add_exit(GrammarMatch *m, uint32_t node)
{
    const uint64_t bit = UINT64_C(1) << (node % 64);
    const bool leaf = m->vocab->skip[node] == node + 1;
    if (leaf || m->is_exit[node / 64] & bit)
        return;
    m->is_exit[node / 64] |= bit;
    m->exits[m->nexits++] = node;
}

/* One place that stays one, and neither calls nor ends: what most steps are. */
static bool
step_alone(GrammarMatch *m, const Level *at, uint8_t byte, size_t *count)
{
    const Grammar *g = m->grammar;
    if (at->to - at->from != 1)
        return false;
    const Place place = m->walked.at[at->from];
    const uint32_t state = g->next[(size_t)place.state * g->nclasses + g->class_of[byte]];
    if (state_branches(g->flags[state]) || m->walked.count == m->walked.cap)
        return false;
    *count = state != NO_STATE;
    m->walked.at[m->walked.count] = (Place){state, place.stack};
    m->walked.count += *count;
    return true;
}

/* Whether a place that is alone reads whatever is below a node; if it may end (ends), then all the
 * while and of the frames that are asked about. */
static bool
reads_all(const GrammarMatch *m, uint32_t node, bool ends)
{
    enum { WORTH = 3 }; /* nodes */
    const GrammarVocab *v = m->vocab;
    if (v->skip[node] - node <= WORTH)
        return false;
    const Place at = m->walked.at[m->walked.count - 1];
    const Loop *loop = &m->memo->loops[at.state];
    const bool can_end = m->grammar->flags[at.state] & STATE_ends;
    return !(v->below[node] & ~loop->groups) && v->height[node] <= loop->depth && can_end == ends &&
           (!ends || at.stack == 0);
}

static void
allow_subtree(GrammarMatch *m, uint32_t node, bool ends)
{
    const uint32_t end = m->vocab->skip[node];
    allow_nodes(m, node, end);
    for (uint32_t i = node; i < end && ends; i++)
        add_exit(m, i);
}

/* Allows the ids below `top`, at which the places of levels[0] are. */
static void
walk_below(GrammarMatch *m, uint32_t top)
{
    const GrammarVocab *v = m->vocab;
    uint32_t depth = 0;
    m->levels[0].end = v->skip[top];
    for (uint32_t node = top + 1; node < v->skip[top] && m->walk.work < MOST_WORK;) {
        while (node >= m->levels[depth].end)
            depth--;
        const Level *at = &m->levels[depth];
        m->walked.count = at->to;
        size_t count = 0;
        bool ends = false;
        if (!step_alone(m, at, v->byte[node], &count)) {
            ends = follow_byte(&m->walk, &m->walked, at->from, at->to, v->byte[node]);
            count = m->walked.count - at->to;
        }
        if (count == 1 && reads_all(m, node, ends)) {
            allow_subtree(m, node, ends);
            node = v->skip[node];
            continue;
        }
        if (ends)
            add_exit(m, node);
        if (ends || count)
            allow_nodes(m, node, node + 1);
        if (!count) {
            node = v->skip[node];
            continue;
        }
        if (v->skip[node] > node + 1)
            m->levels[++depth] = (Level){m->walked.count - count, m->walked.count, v->skip[node]};
        node++;
    }
}

/* Below all edges of a list, which are in the order of their bytes: as the places before an edge
 * are the same for all, a byte is followed once. */
static void
walk_edges(GrammarMatch *m, size_t start, const uint32_t *edges, uint32_t count)
{
    const GrammarVocab *v = m->vocab;
    for (uint32_t i = 0; i < count;) {
        const uint8_t byte = v->byte[edges[i]];
        uint32_t end = i + 1, step = 1;
        while (end < count &&
               v->byte[edges[end]] == byte) { /* galloping, as most are in long runs */
            step = end + step < count && v->byte[edges[end + step]] == byte ? step * 2 : 1;
            end += step == 1 ? 1 : step / 2;
        }
        m->walked.count = start;
        const bool ends = follow_byte(&m->walk, &m->walked, 0, start, byte);
        const Level level = {.from = start, .to = m->walked.count};
        for (; i < end && (ends || level.to > start); i++) {
            allow_nodes(m, edges[i], edges[i] + 1);
            if (ends)
                add_exit(m, edges[i]);
            m->levels[0] = level;
            if (level.to > start)
                walk_below(m, edges[i]);
        }
        i = end;
    }
}

/* What a state allows: of a place in the text (above NULL) from the root on, where the others that
 * its calls and its end lead to are places of the text, too; else behind what was found above. */
static void
walk(GrammarMatch *m, uint32_t state, const Found *above)
{
    memset(m->words, 0, word_count(m->vocab) * sizeof *m->words);
    memset(m->is_exit, 0, ((size_t)m->vocab->nnodes / 64 + 1) * sizeof *m->is_exit);
    m->nexits = 0;
    m->walk.work = 0;
    m->walked.count = 0;
    m->inherits = false;
    if (!above) {
        place_add(&m->walked, (Place){state, 0});
        m->levels[0] = (Level){.from = 0, .to = 1};
        walk_below(m, 0);
    } else {
        m->inherits = follow(&m->walk, (Place){state, 0}, &m->walked);
        const size_t start = m->walked.count;
        for (const Found *at = above; at; at = at->inherits ? at->above : NULL)
            walk_edges(m, start, at->edges, at->nedges);
    }
    m->text.lost |= m->walk.lost || m->walk.work >= MOST_WORK;
}

/* ---- what is remembered --------------------------------------------------------------------- */

/* Children of the exits, in the order of their bytes. */
static void
list_edges(const GrammarMatch *m, Found *found)
{
    const GrammarVocab *v = m->vocab;
    uint32_t at[257] = {0};
    for (uint32_t i = 0; i < m->nexits; i++) {
        const uint32_t node = m->exits[i];
        for (uint32_t child = node + 1; child < v->skip[node]; child = v->skip[child])
            at[v->byte[child] + 1]++;
    }
    for (int byte = 0; byte < 256; byte++)
        at[byte + 1] += at[byte];
    found->nedges = at[256];
    found->edges = zeroed(found->nedges, sizeof *found->edges);
    for (uint32_t i = 0; i < m->nexits; i++) {
        const uint32_t node = m->exits[i];
        for (uint32_t child = node + 1; child < v->skip[node]; child = v->skip[child])
            found->edges[at[v->byte[child]]++] = child;
    }
}

static void
list_ids(const GrammarMatch *m, Found *found)
{
    const size_t nwords = word_count(m->vocab);
    uint32_t n = 0;
    found->ids = zeroed(found->nids, sizeof *found->ids);
    for (size_t i = 0; i < nwords; i++)
        for (int bit = 0; bit < 64 && m->words[i] >> bit; bit++)
            if (m->words[i] >> bit & 1)
                found->ids[n++] = (int32_t)(i * 64) + bit;
}

static Found *
found_new(const GrammarMatch *m, uint32_t kind, const Found *above, size_t *bytes)
{
    const size_t nwords = word_count(m->vocab);
    Found *found = zeroed(1, sizeof *found);
    found->kind = kind;
    found->above = above;
    found->inherits = m->inherits;
    for (size_t i = 0; i < nwords; i++)
        for (uint64_t w = m->words[i]; w; w &= w - 1)
            found->nids++;
    list_edges(m, found);
    *bytes = sizeof *found + found->nedges * sizeof *found->edges;
    if (found->nids <= nwords) { /* a list is no longer than half of the words */
        list_ids(m, found);
        *bytes += found->nids * sizeof *found->ids;
        return found;
    }
    found->words = zeroed(nwords, sizeof *found->words);
    memcpy(found->words, m->words, nwords * sizeof *found->words);
    *bytes += nwords * sizeof *found->words;
    return found;
}

static Found *
lookup(Found *first, uint32_t kind)
{
    while (first && first->kind != kind)
        first = first->next;
    return first;
}

/* What may come at a state of the text (above NULL), or at a frame below what was found above it;
 * found now if it is not remembered. */
static const Found *
find(GrammarMatch *m, const Found *above, uint32_t state)
{
    const uint32_t kind = m->memo->kind_of[state];
    /* The list of children is no part of what was found. */
    _Atomic(Found *) *list = above ? &((Found *)above)->children : &m->memo->roots[kind];
    Found *there = lookup(atomic_load(list), kind);
    if (there)
        return there;
    size_t bytes = 0;
    walk(m, state, above);
    Found *found = found_new(m, kind, above, &bytes);
    if (m->text.lost || atomic_load(&m->memo->bytes) + bytes > MOST_MEMORY) {
        found->next = m->own;
        return m->own = found;
    }
    pthread_mutex_lock(&m->memo->lock);
    there = lookup(atomic_load(list), kind);
    if (!there) {
        found->next = atomic_load(list);
        atomic_store(list, found);
        atomic_fetch_add(&m->memo->bytes, bytes);
    }
    pthread_mutex_unlock(&m->memo->lock);
    if (!there)
        return found;
    found_free(found);
    return there;
}

static void
allow(const GrammarVocab *vocab, const Found *found, uint64_t *mask)
{
    if (found->words) {
        for (size_t i = 0; i < word_count(vocab); i++)
            mask[i] |= found->words[i];
        return;
    }
    for (uint32_t i = 0; i < found->nids; i++)
        mask[found->ids[i] / 64] |= UINT64_C(1) << (found->ids[i] % 64);
}

bool
grammar_match_mask(GrammarMatch *m, uint64_t *mask, bool *may_end)
{
    memset(mask, 0, word_count(m->vocab) * sizeof *mask);
    bool any = false;
    drop_own(m);
    for (size_t i = 0; i < m->places.count && !m->text.lost; i++) {
        const Place place = m->places.at[i];
        const Found *found = find(m, NULL, place.state);
        allow(m->vocab, found, mask);
        any |= found->nids > 0;
        uint32_t stack = place.stack;
        while ((found->nedges || found->inherits) && stack && !m->text.lost) {
            const Frame frame = m->text.stacks.frames[stack];
            found = find(m, found, frame.state);
            allow(m->vocab, found, mask);
            any |= found->nids > 0;
            stack = frame.below;
        }
    }
    *may_end = m->may_end && !m->text.lost;
    return *may_end || (any && !m->text.lost);
}

/* ---- going along ---------------------------------------------------------------------------- */

bool
grammar_match_take(GrammarMatch *m, int32_t id)
{
    if (id < 0 || id >= m->vocab->size || !m->vocab->text[id] || m->text.lost)
        return false;
    Places *now = &m->spare;
    const char *text = m->vocab->text[id];
    size_t from = 0;
    bool ends = false;
    now->count = 0;
    for (size_t i = 0; i < m->places.count; i++)
        place_add(now, m->places.at[i]);
    for (uint32_t i = 0; i < m->vocab->len[id]; i++) {
        const size_t to = now->count;
        ends = follow_byte(&m->text, now, from, to, (uint8_t)text[i]);
        if (now->count == to && !(ends && i + 1 == m->vocab->len[id]))
            return false;
        from = to;
    }
    memmove(now->at, now->at + from, (now->count - from) * sizeof *now->at);
    now->count -= from;
    m->may_end = ends;
    const Places before = m->places;
    m->places = *now;
    m->spare = before;
    return true;
}
