/* grammar/vocab.c -- the bytes of a vocabulary's ids, as a trie. */
#include <stdlib.h>
#include <string.h>

#include "grammar/automaton.h"

typedef struct {
    const char *text;
    uint32_t len;
    int32_t id;
} Word;

int
byte_group(uint8_t byte)
{
    enum { LETTERS = 33, CONTROLS = 35, DIGITS = 36, WIDE = 40 };
    static const char alone[] = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"; /* 33 of them */
    const char *at = byte ? strchr(alone, byte) : NULL;
    if (at)
        return (int)(at - alone);
    if (byte >= '0' && byte <= '9')
        return DIGITS;
    if (byte >= 0x80)
        return WIDE + (byte >> 3 & 15);
    if (byte < 0x20 || byte == 0x7F)
        return byte == '\n' ? CONTROLS + 2 : byte == '\t' ? CONTROLS + 3 : CONTROLS;
    return LETTERS + (byte >= 'a');
}

static int
word_order(const void *a, const void *b)
{
    const Word *x = a, *y = b;
    const int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
    if (order)
        return order;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static uint32_t
shared_prefix(const Word *a, const Word *b)
{
    const uint32_t most = a->len < b->len ? a->len : b->len;
    uint32_t n = 0;
    while (n < most && a->text[n] == b->text[n])
        n++;
    return n;
}

/* Words that may come at all, sorted by their bytes. */
static uint32_t
gather(GrammarVocab *v, const char *(*bytes)(void *user, int32_t id, size_t *len), void *user,
       Word *words)
{
    uint32_t count = 0;
    for (int32_t id = 0; id < v->size; id++) {
        size_t len = 0;
        const char *text = bytes(user, id, &len);
        if (!text || len == 0 || len > INT32_MAX)
            continue;
        v->text[id] = arena_strndup(v->arena, text, len);
        v->len[id] = (uint32_t)len;
        words[count++] = (Word){v->text[id], (uint32_t)len, id};
        v->depth = v->len[id] > v->depth ? v->len[id] : v->depth;
    }
    qsort(words, count, sizeof *words, word_order);
    return count;
}

/* What is below a node is behind it. */
static void
gather_below(GrammarVocab *v, const uint32_t *up)
{
    for (uint32_t node = v->nnodes; node-- > 1;) {
        const uint32_t above = up[node], height = v->height[node] + 1;
        v->below[above] |= v->below[node] | UINT64_C(1) << byte_group(v->byte[node]);
        v->height[above] = height > v->height[above] ? height : v->height[above];
    }
}

/* Nodes of words that are sorted: in preorder, as they come. path [depth + 1]: the nodes of the
 * newest word. up [nnodes]: parents. */
static void
make_nodes(GrammarVocab *v, const Word *words, uint32_t count, uint32_t *path, uint32_t *up)
{
    uint32_t node = 1, depth = 0;
    path[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t shared = i ? shared_prefix(&words[i - 1], &words[i]) : 0;
        for (; depth > shared; depth--)
            v->skip[path[depth]] = node;
        for (; depth < words[i].len; node++) {
            v->byte[node] = (uint8_t)words[i].text[depth];
            v->first[node] = i;
            up[node] = path[depth];
            path[++depth] = node;
        }
        v->ids[i] = words[i].id;
    }
    for (; depth > 0; depth--)
        v->skip[path[depth]] = node;
    v->skip[0] = node;
    v->first[node] = count;
}

GrammarVocab *
grammar_vocab_new(int64_t size, const char *(*bytes)(void *user, int32_t id, size_t *len),
                  void *user)
{
    static atomic_uint_fast64_t serials;
    Arena *arena = arena_new(), *scratch = arena_new();
    GrammarVocab *v = arena_alloc(arena, sizeof *v);
    v->arena = arena;
    v->serial = atomic_fetch_add(&serials, 1);
    v->size = size;
    v->text = arena_array(arena, (size_t)size, sizeof *v->text);
    v->len = arena_array(arena, (size_t)size, sizeof *v->len);
    v->ids = arena_array(arena, (size_t)size, sizeof *v->ids);
    Word *words = arena_array(scratch, (size_t)size, sizeof *words);
    const uint32_t count = gather(v, bytes, user, words);
    v->nnodes = 1;
    for (uint32_t i = 0; i < count; i++)
        v->nnodes += words[i].len - (i ? shared_prefix(&words[i - 1], &words[i]) : 0);
    v->byte = arena_array(arena, v->nnodes, sizeof *v->byte);
    v->skip = arena_array(arena, v->nnodes, sizeof *v->skip);
    v->first = arena_array(arena, (size_t)v->nnodes + 1, sizeof *v->first);
    v->below = arena_array(arena, v->nnodes, sizeof *v->below);
    v->height = arena_array(arena, v->nnodes, sizeof *v->height);
    uint32_t *path = arena_array(scratch, (size_t)v->depth + 1, sizeof *path);
    uint32_t *up = arena_array(scratch, v->nnodes, sizeof *up);
    make_nodes(v, words, count, path, up);
    gather_below(v, up);
    arena_free(scratch);
    return v;
}

void
grammar_vocab_free(GrammarVocab *vocab)
{
    if (vocab)
        arena_free(vocab->arena);
}
