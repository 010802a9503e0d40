/* frontend/keys.h -- private to frontend/: what a key may say, and reading it. */
#ifndef SSMC_FRONTEND_KEYS_H
#define SSMC_FRONTEND_KEYS_H

#include "frontend/frontend.h"
#include "frontend/yaml.h"

typedef enum {
    SPEC_INT,
    SPEC_NUM,
    SPEC_BOOL,
    SPEC_WORD,
    SPEC_CHUNK,
    SPEC_NUMS,
    SPEC_IDS,
    SPEC_TEXT,
    SPEC_LIST,
    SPEC_MAP,
    SPEC_ANY
} SpecKind;

/* What is allowed under a name: a row of keys.def, or a parameter of a block. */
typedef struct {
    const char *name; /* first: nearest_name reads it */
    SpecKind kind;
    const char *preset; /* text; "" none, "!" must be given */
    double low, high;   /* INT, NUM, CHUNK, each of NUMS and IDS */
    const char *words;  /* WORD: separated by spaces */
    int count;          /* NUMS: how many; 0: any number */
    const char *doc;
} Spec;

/* What was said. */
typedef struct {
    SpecKind kind;
    bool given;         /* by the user, at loc; otherwise the default */
    bool bad;           /* what is given is at fault, or nothing is where something must be */
    int64_t i;          /* INT, CHUNK */
    double num;         /* NUM; also INT, BOOL */
    bool flag;          /* BOOL */
    const char *text;   /* WORD, TEXT */
    const double *nums; /* NUMS, IDS */
    int count;
    const Tree *tree; /* LIST, MAP, ANY; NULL: absent */
    SrcLoc loc;
} FeValue;

typedef enum {
#define KEY(id, path, kind, preset, low, high, words, doc) KEY_##id,
#include "frontend/keys.def"
#undef KEY
    KEY_COUNT
} KeyId;
extern const Spec key_spec[KEY_COUNT];

/* "auto, all or a whole number from 1 to 65536" */
const char *spec_wants(Arena *arena, const Spec *spec);
bool key_is_of_layer(const char *key); /* a key of every entry of layers, whatever its block */
/* The entries inside an entry of layers, a list or a map of them; NULL: it has none, as a block. */
Tree *layer_inner(const Tree *entry);
/* Reads what tree says for spec without saying why not; name, doc and preset of spec are not looked
 * at. */
bool spec_try(Arena *arena, const Spec *spec, const Tree *tree, FeValue *out);
/* Reads what tree says for spec, and reports in diag why it cannot. */
bool spec_read(Arena *arena, const Spec *spec, const Tree *tree, Diag *diag, FeValue *out);

/* Reads the entries of `map` that are rows prefix + key ("", "compile.", "layers[]."), with
 * defaults for the others, into out[KEY_COUNT] (other rows untouched). Keys that are no row are
 * faults, unless they are in `more`, nmore names that the caller reads, or were put everywhere.
 * Returns false when there was a fault. */
bool keys_read(Arena *arena, const Tree *map, const char *prefix, const char *const *more,
               int nmore, Diag *diag, FeValue *out);

/* Reports that there is no `what` of a name, with the nearest one and the list of all: a table of
 * `count` entries that start with their names. Always false. */
bool name_unknown(Diag *diag, SrcLoc loc, const char *what, const char *name, const void *table,
                  size_t count, size_t stride);

/* The path of sources that are options. */
extern const char set_source_path[];
/* Puts "key=value" options into the tree; false: the fault is in diag. */
bool sets_apply(Arena *arena, Tree *root, const char *const *sets, int nsets, Diag *diag);

#endif
