/* grammar/follow.c -- places go along with a text: bytes are read, rules are called and return. */
#include <stdlib.h>
#include <string.h>

#include "grammar/automaton.h"

enum { MOST_PLACES = 512 }; /* at the same time */

/* ---- stacks --------------------------------------------------------------------------------- */

static void *
grown(void *old, size_t count, size_t size)
{
    void *new = realloc(old, count * size);
    if (!new)
        die_no_memory(count * size);
    return new;
}

static uint32_t
slot_of(const Stacks *s, Frame frame)
{
    const uint64_t key = (uint64_t)frame.state << 32 | frame.below;
    uint32_t at = (uint32_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
    for (;; at++) {
        const uint32_t number = s->slots[at & (s->nslots - 1)];
        const Frame *other = &s->frames[number];
        if (number == 0 || (other->state == frame.state && other->below == frame.below))
            return at & (s->nslots - 1);
    }
}

static void
grow_stacks(Stacks *s)
{
    s->cap = s->cap ? s->cap * 2 : 64;
    s->nslots = s->cap * 2;
    s->frames = grown(s->frames, s->cap, sizeof *s->frames);
    s->slots = grown(s->slots, s->nslots, sizeof *s->slots);
    memset(s->slots, 0, s->nslots * sizeof *s->slots);
    s->count = s->count ? s->count : 1;
    s->frames[0] = (Frame){0};
    for (uint32_t i = 1; i < s->count; i++)
        s->slots[slot_of(s, s->frames[i])] = i;
}

static uint32_t
push(Stacks *s, uint32_t state, uint32_t below)
{
    if (s->count == s->cap)
        grow_stacks(s);
    const Frame frame = {state, below};
    const uint32_t slot = slot_of(s, frame);
    if (s->slots[slot])
        return s->slots[slot];
    s->frames[s->count] = frame;
    return s->slots[slot] = s->count++;
}

/* ---- places --------------------------------------------------------------------------------- */

void
place_add(Places *places, Place place)
{
    if (places->count == places->cap) {
        places->cap = places->cap ? places->cap * 2 : 64;
        places->at = grown(places->at, places->cap, sizeof *places->at);
    }
    places->at[places->count++] = place;
}

static void
add_new(Follower *f, Place place)
{
    for (size_t i = 0; i < f->open.count; i++)
        if (f->open.at[i].state == place.state && f->open.at[i].stack == place.stack)
            return;
    if (f->open.count < MOST_PLACES)
        place_add(&f->open, place);
    else
        f->lost = true;
}

/* Looks at calls and ends of the open places until no new one comes. */
static bool
follow_open(Follower *f)
{
    const Grammar *g = f->grammar;
    bool ends = false;
    for (size_t i = 0; i < f->open.count; i++) {
        const Place at = f->open.at[i];
        const uint8_t flags = g->flags[at.state];
        f->work += 1 + i;
        for (uint32_t c = g->call_at[at.state]; c < g->call_at[at.state + 1]; c++) {
            const Call call = g->calls[c];
            /* Where the caller has nothing more to do, the callee returns to the caller's caller.
             */
            const bool tail = g->flags[call.back] == STATE_ends;
            const uint32_t stack = tail ? at.stack : push(&f->stacks, call.back, at.stack);
            add_new(f, (Place){call.start, stack});
        }
        if (!(flags & STATE_ends))
            continue;
        if (at.stack == 0) {
            ends = true;
            continue;
        }
        const Frame top = f->stacks.frames[at.stack];
        add_new(f, (Place){top.state, top.below});
    }
    return ends;
}

/* The open places that read a byte; open is empty behind. */
static void
keep_readers(Follower *f, Places *out)
{
    for (size_t i = 0; i < f->open.count; i++)
        if (f->grammar->flags[f->open.at[i].state] & STATE_reads)
            place_add(out, f->open.at[i]);
    f->open.count = 0;
}

bool
follow(Follower *f, Place place, Places *out)
{
    add_new(f, place);
    const bool ends = follow_open(f);
    keep_readers(f, out);
    return ends;
}

bool
follow_byte(Follower *f, Places *out, size_t from, size_t to, uint8_t byte)
{
    const Grammar *g = f->grammar;
    const uint8_t class = g->class_of[byte];
    bool branches = false;
    for (size_t i = from; i < to; i++) {
        const Place at = out->at[i];
        const uint32_t state = g->next[(size_t)at.state * g->nclasses + class];
        if (state == NO_STATE)
            continue;
        branches |= state_branches(g->flags[state]);
        add_new(f, (Place){state, at.stack});
    }
    f->work += to - from;
    const bool ends = branches && follow_open(f);
    keep_readers(f, out);
    return ends;
}

void
follower_free(Follower *f)
{
    free(f->stacks.frames);
    free(f->stacks.slots);
    free(f->open.at);
}
