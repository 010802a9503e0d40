/* frontend/yaml.h -- private to frontend/: YAML and JSON texts as one kind of tree. */
#ifndef SSMC_FRONTEND_YAML_H
#define SSMC_FRONTEND_YAML_H

#include "ir/diag.h"

typedef enum { TREE_NULL, TREE_SCALAR, TREE_LIST, TREE_MAP } TreeKind;

typedef struct Tree Tree;
struct Tree {
    TreeKind kind;
    bool quoted;     /* SCALAR in quotes: text, never a number */
    bool everywhere; /* put by `layers.*.key=value`: blocks that have no such parameter pass it over
                      */
    const char *text; /* SCALAR */
    const char *key;  /* in a map: the name of this entry */
    SrcLoc key_loc, loc;
    Tree **items; /* LIST, MAP: in the order of the text */
    int count, cap;
};

enum { TREE_MAX_BYTES = 1 << 20, TREE_MAX_DEPTH = 32, TREE_MAX_NODES = 20000 };

/* Arena trees; NULL: faults are in diag. source must outlive the tree and diag. Aliases become
 * copies of what their anchor names; keys must differ within a map. */
Tree *yaml_parse(Arena *arena, const Source *source, Diag *diag);
/* The text from `offset` on, with positions in the whole text. */
Tree *yaml_parse_from(Arena *arena, const Source *source, size_t offset, Diag *diag);
/* JSON as checkpoints write it: Infinity and NaN are numbers, {"__float__": "Infinity"} is one too.
 */
Tree *json_parse(Arena *arena, const Source *source, Diag *diag);
/* Reads a file of at most TREE_MAX_BYTES; NULL: the fault is in diag at `from`. */
const Source *source_read(Arena *arena, const char *path, SrcLoc from, Diag *diag);

Tree *tree_new(Arena *arena, TreeKind kind, SrcLoc loc);
Tree *tree_scalar(Arena *arena, const char *text, SrcLoc loc);
Tree *tree_copy(Arena *arena, const Tree *from);
void tree_push(Arena *arena, Tree *to, Tree *item);
void tree_put(Arena *arena, Tree *map, const char *key, Tree *item); /* adds or replaces */
Tree *tree_get(const Tree *map, const char *key); /* NULL: no such entry, or no map */
/* An entry under dotted keys (ssm_cfg.layer); NULL: none. */
Tree *tree_find(const Tree *map, const char *path);
bool tree_equal(const Tree *a, const Tree *b); /* numbers by their values */
bool tree_is(const Tree *tree, TreeKind kind); /* false for NULL */
/* What a scalar says; false: it is something else. */
bool tree_int(const Tree *tree, int64_t *out);
bool tree_num(const Tree *tree, double *out);
/* An integer, also as 2.0 or 1e5: programs that compute with floats write such sizes. */
bool tree_whole(const Tree *tree, int64_t *out);
bool tree_bool(const Tree *tree, bool *out);
/* For messages: 'text', [1, 2], {a: 1}, nothing; cut where it is long. */
const char *tree_text(Arena *arena, const Tree *tree);
/* As YAML: what has maps inside on lines of its own, everything else in flow style. */
void tree_print(StrBuf *out, const Tree *map);

#endif
