/* tokenizer/tables.c -- looking up bytes, tokens and merges. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tables.h"

/* ---- the byte-level alphabet ----------------------------------------------------------------- */

static bool
stands_for_itself(unsigned c)
{
    return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF);
}

/* Bytes that print stand for themselves; the others, in order, are U+0100, U+0101 ... */
uint32_t
byte_to_char(unsigned char byte)
{
    if (stands_for_itself(byte))
        return byte;
    uint32_t c = 0x100;
    for (unsigned b = 0; b < byte; b++)
        c += !stands_for_itself(b);
    return c;
}

int
char_to_byte(uint32_t c)
{
    if (c < 0x100)
        return stands_for_itself(c) ? (int)c : -1;
    if (c < 0x121)
        return (int)(c - 0x100);
    if (c < 0x143)
        return (int)(c - 0x121 + 0x7F);
    return c == 0x143 ? 0xAD : -1;
}

/* ---- hash tables ----------------------------------------------------------------------------- */

size_t
tok_slots(size_t count)
{
    size_t slots = 16;
    while (slots < count * 2)
        slots *= 2;
    return slots;
}

int32_t *
tok_vocab_slot(const Tokenizer *tok, const char *text, size_t len)
{
    const size_t mask = tok->vocab_slots - 1;
    for (size_t at = (size_t)hash_bytes(text, len, 0) & mask;; at = (at + 1) & mask) {
        int32_t *slot = &tok->vocab[at];
        if (*slot < 0)
            return slot;
        const Slice *have = &tok->tokens[*slot].text;
        if (have->len == len && memcmp(have->text, text, len) == 0)
            return slot;
    }
}

int32_t
tok_vocab_find(const Tokenizer *tok, const char *text, size_t len)
{
    return *tok_vocab_slot(tok, text, len);
}

/* Finaliser of MurmurHash3. */
static uint64_t
mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDu;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53u;
    return x ^ x >> 33;
}

Merge *
tok_merge_slot(const Tokenizer *tok, uint64_t pair)
{
    const size_t mask = tok->merge_slots - 1;
    for (size_t at = (size_t)mix(pair) & mask;; at = (at + 1) & mask) {
        Merge *slot = &tok->merges[at];
        if (slot->rank == UINT32_MAX || slot->pair == pair)
            return slot;
    }
}

/* ---- sets of texts --------------------------------------------------------------------------- */

int
added_compare(const void *a, const void *b)
{
    const Slice *x = &((const AddedToken *)a)->content, *y = &((const AddedToken *)b)->content;
    const int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

const AddedToken *
added_sort(AddedSet *set)
{
    const AddedToken *twice = NULL;
    if (set->count > 0)
        qsort(set->items, (size_t)set->count, sizeof *set->items, added_compare);
    for (int i = 0; i < set->count; i++) {
        set->first[(unsigned char)set->items[i].content.text[0]] = true;
        if (i > 0 && added_compare(&set->items[i - 1], &set->items[i]) == 0)
            twice = &set->items[i];
    }
    return twice;
}

/* First item in [low, high) whose byte at `depth` is at least `byte`; all are longer than depth. */
static int
lower_bound(const AddedSet *set, int low, int high, size_t depth, int byte)
{
    while (low < high) {
        const int mid = low + (high - low) / 2;
        if ((unsigned char)set->items[mid].content.text[depth] < byte)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void
added_narrow(const AddedSet *set, int *low, int *high, size_t depth, int byte)
{
    *low = lower_bound(set, *low, *high, depth, byte);
    *high = lower_bound(set, *low, *high, depth, byte + 1);
}

const AddedToken *
added_longest(const AddedSet *set, Slice text)
{
    const AddedToken *longest = NULL;
    int low = 0, high = text.len > 0 && set->first[(unsigned char)text.text[0]] ? set->count : 0;
    for (size_t depth = 0; low < high; depth++) {
        if (set->items[low].content.len == depth)
            longest = &set->items[low++];
        if (depth == text.len)
            break;
        added_narrow(set, &low, &high, depth, (unsigned char)text.text[depth]);
    }
    return longest;
}
