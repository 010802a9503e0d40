/* serve/prefix.c -- states of prefixes in memory: a radix tree. A node stands for the ids on the
 * way to it from the root, and has the last of them; some nodes have the state of a sequence that
 * has read just these. Nodes without one are there where prompts part, and for prompts that are
 * being read: a later one that begins alike is seen to leave the path.
 *
 * The budget is of states and nodes together. Past it, the state that was not used for longest
 * goes, and with it the nodes that lead to no other. */
#include <stdlib.h>
#include <string.h>

#include "serve/internal.h"

typedef struct Node Node;
struct Node {
    Node *parent, *child, *sibling; /* child: the first; no two begin with the same id */
    int32_t *ids;                   /* owns: [count], those that follow the parent's */
    int64_t count;
    State *state;        /* held; NULL: none */
    Node *newer, *older; /* of those with a state, by their last use */
};

struct Prefixes {
    size_t budget, bytes;
    size_t states;
    Node root;
    Node *newest, *oldest;
    ssmc_checkpoint *spare; /* owns; NULL: none */
};

/* ---- states -------------------------------------------------------------------------------- */

State *
state_take(const ssmc_session *session, int seq, size_t bytes, ssmc_checkpoint *spare)
{
    State *state = calloc(1, sizeof *state);
    if (!state || rt_checkpoint_again(session, seq, &spare) != SSMC_OK) {
        ssmc_checkpoint_drop(spare);
        free(state);
        return NULL;
    }
    atomic_init(&state->users, 1);
    state->checkpoint = spare;
    state->tokens = ssmc_tokens(session, seq);
    state->bytes = bytes;
    return state;
}

State *
state_hold(State *state)
{
    atomic_fetch_add(&state->users, 1);
    return state;
}

void
state_drop(State *state)
{
    if (!state || atomic_fetch_sub(&state->users, 1) > 1)
        return;
    ssmc_checkpoint_drop(state->checkpoint);
    free(state);
}

/* ---- nodes --------------------------------------------------------------------------------- */

static size_t
bytes_of(const Node *node)
{
    return sizeof *node + (size_t)node->count * sizeof *node->ids;
}

static Node *
child_at(const Node *node, int32_t id)
{
    Node *child = node->child;
    while (child && child->ids[0] != id)
        child = child->sibling;
    return child;
}

static void
attach(Node *parent, Node *child)
{
    child->parent = parent;
    child->sibling = parent->child;
    parent->child = child;
}

static void
detach(Node *child)
{
    Node **at = &child->parent->child;
    while (*at != child)
        at = &(*at)->sibling;
    *at = child->sibling;
}

/* A node of ids [count] under parent. NULL: no memory. */
static Node *
node_new(Prefixes *p, Node *parent, const int32_t *ids, int64_t count)
{
    const size_t bytes = (size_t)count * sizeof *ids;
    Node *node = calloc(1, sizeof *node);
    int32_t *copy = malloc(bytes);
    if (!node || !copy) {
        free(node);
        free(copy);
        return NULL;
    }
    memcpy(copy, ids, bytes);
    node->ids = copy;
    node->count = count;
    attach(parent, node);
    p->bytes += bytes_of(node);
    return node;
}

static void
node_free(Prefixes *p, Node *node)
{
    p->bytes -= bytes_of(node);
    detach(node);
    free(node->ids);
    free(node);
}

/* Puts a node of the first `at` ids of a node before it. NULL: no memory. */
static Node *
split(Prefixes *p, Node *node, int64_t at)
{
    Node *parent = node->parent;
    detach(node);
    Node *upper = node_new(p, parent, node->ids, at);
    if (!upper) {
        attach(parent, node);
        return NULL;
    }
    attach(upper, node);
    p->bytes -= (size_t)at * sizeof *node->ids;
    node->count -= at;
    memmove(node->ids, node->ids + at, (size_t)node->count * sizeof *node->ids);
    return upper;
}

/* A node without a state whose only child can have its ids, too. Without memory it stays. */
static void
join(Prefixes *p, Node *node)
{
    Node *child = node->child;
    const int64_t count = node->count + child->count;
    int32_t *ids = realloc(child->ids, (size_t)count * sizeof *ids);
    if (!ids)
        return;
    memmove(ids + node->count, ids, (size_t)child->count * sizeof *ids);
    memcpy(ids, node->ids, (size_t)node->count * sizeof *ids);
    p->bytes += (size_t)node->count * sizeof *ids;
    child->ids = ids;
    child->count = count;
    detach(child);
    attach(node->parent, child);
    node_free(p, node);
}

/* After a node has lost its state or a child: nodes that serve nothing go. */
static void
tidy(Prefixes *p, Node *node)
{
    while (node->parent && !node->state && !node->child) {
        Node *parent = node->parent;
        node_free(p, node);
        node = parent;
    }
    if (node->parent && !node->state && node->child && !node->child->sibling)
        join(p, node);
}

/* ---- use ----------------------------------------------------------------------------------- */

static void
lru_remove(Prefixes *p, Node *node)
{
    *(node->newer ? &node->newer->older : &p->newest) = node->older;
    *(node->older ? &node->older->newer : &p->oldest) = node->newer;
    node->newer = node->older = NULL;
}

static void
lru_add(Prefixes *p, Node *node)
{
    node->older = p->newest;
    *(p->newest ? &p->newest->newer : &p->oldest) = node;
    p->newest = node;
}

static void
forget_state(Prefixes *p, Node *node)
{
    lru_remove(p, node);
    p->bytes -= node->state->bytes;
    p->states--;
    if (!p->spare && atomic_load(&node->state->users) == 1) { /* only the tree's */
        p->spare = node->state->checkpoint;
        node->state->checkpoint = NULL;
    }
    state_drop(node->state);
    node->state = NULL;
}

static void
trim(Prefixes *p, size_t budget)
{
    while (p->bytes > budget && p->oldest) {
        Node *node = p->oldest;
        forget_state(p, node);
        tidy(p, node);
    }
}

/* ---- paths --------------------------------------------------------------------------------- */

/* Where the tree's path along some ids ends: inside a node's ids, or after all of them. */
typedef struct {
    Node *node;
    int64_t inside; /* of the node's ids, those that are on the path */
    int64_t depth;  /* ids from the root on */
    Node *state;    /* the deepest node with a state that is wholly on the path; NULL: none */
    int64_t state_depth;
} Path;

static Path
path_along(Prefixes *p, const int32_t *ids, int64_t n)
{
    Path path = {.node = &p->root};
    while (path.inside == path.node->count && path.depth < n) {
        Node *child = child_at(path.node, ids[path.depth]);
        if (!child)
            break;
        const int64_t left = n - path.depth, most = child->count < left ? child->count : left;
        path.node = child;
        path.inside = 0;
        while (path.inside < most && child->ids[path.inside] == ids[path.depth + path.inside])
            path.inside++;
        path.depth += path.inside;
        if (child->state && path.inside == child->count) {
            path.state = child;
            path.state_depth = path.depth;
        }
    }
    return path;
}

/* The node of ids [n], which is made where there is none. NULL: no memory. */
static Node *
node_of(Prefixes *p, const int32_t *ids, int64_t n)
{
    const Path path = path_along(p, ids, n);
    Node *node = path.node;
    if (path.inside < node->count)
        node = split(p, node, path.inside);
    if (node && path.depth < n)
        node = node_new(p, node, ids + path.depth, n - path.depth);
    return node;
}

/* ---- the interface ------------------------------------------------------------------------- */

Prefixes *
prefix_open(size_t budget)
{
    Prefixes *p = calloc(1, sizeof *p);
    if (p)
        p->budget = budget;
    return p;
}

void
prefix_close(Prefixes *p)
{
    if (!p)
        return;
    trim(p, 0);
    while (p->root.child) { /* paths that were known, and had no state */
        Node *leaf = p->root.child;
        while (leaf->child)
            leaf = leaf->child;
        node_free(p, leaf);
    }
    ssmc_checkpoint_drop(p->spare);
    free(p);
}

int64_t
prefix_find(Prefixes *p, const int32_t *ids, int64_t n, State **state)
{
    const Path path = path_along(p, ids, n);
    *state = NULL;
    if (path.state) {
        *state = path.state->state;
        lru_remove(p, path.state);
        lru_add(p, path.state);
    }
    return path.depth;
}

void
prefix_learn(Prefixes *p, const int32_t *ids, int64_t n)
{
    if (path_along(p, ids, n).depth < n)
        node_of(p, ids, n);
}

void
prefix_forget(Prefixes *p, const int32_t *ids, int64_t n)
{
    const Path path = path_along(p, ids, n);
    if (path.depth == n && path.inside == path.node->count)
        tidy(p, path.node);
}

bool
prefix_has(Prefixes *p, const int32_t *ids, int64_t n)
{
    State *state = NULL;
    prefix_find(p, ids, n, &state);
    return state && state->tokens == n;
}

void
prefix_keep(Prefixes *p, const int32_t *ids, State *state)
{
    if (state->bytes > p->budget || prefix_has(p, ids, state->tokens))
        return;
    Node *node = node_of(p, ids, state->tokens);
    if (!node)
        return;
    node->state = state_hold(state);
    p->bytes += state->bytes;
    p->states++;
    lru_add(p, node);
    trim(p, p->budget);
}

ssmc_checkpoint *
prefix_spare(Prefixes *p)
{
    ssmc_checkpoint *spare = p->spare;
    p->spare = NULL;
    return spare;
}

size_t
prefix_bytes(const Prefixes *p, size_t *states)
{
    *states = p->states;
    return p->bytes;
}
