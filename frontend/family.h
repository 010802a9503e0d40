/* frontend/family.h -- private to frontend/: published checkpoint families, described by
 * frontend/families. */
#ifndef SSMC_FRONTEND_FAMILY_H
#define SSMC_FRONTEND_FAMILY_H

#include "frontend/expr.h"

/* The model (as the tree of a model's YAML) that a config.json describes, positions pointing into
 * it. Without name, weights and tokenizer. NULL: faults are in diag. */
Tree *family_import(Arena *arena, const Source *config, Diag *diag);

/* Adds to the eos of that model what the other files of the checkpoint's directory say ends a text
 * (ends.c). What is wrong with them is noted. */
void ends_add(Arena *arena, const char *dir, Tree *model, Diag *diag);

/* Which checkpoint tensors a weight may be found under. */
typedef struct {
    Arena *arena;
    /* {pattern: spelling or [spellings]}; the first pattern that fits counts. A spelling is a name,
     * {rows: [names]}, {stack: name with <e>} or {made: RULE <i>}, for a checkpoint that lacks it.
     */
    const Tree **maps;
    int nmaps, cap_maps;
    bool own; /* the weight's own name is a spelling too */
    /* {prefix of a name: another}: a spelling with the one is a spelling with the other, too. */
    const Tree **prefixes;
    int nprefixes, cap_prefixes;
    const char **ignored, **notes; /* notes: what is said where they are there; NULL: nothing */
    int nignored, cap_ignored, cap_notes;
} TensorNames;

/* Adds a `tensors:` map and an `ignored:` list (either may be NULL), of patterns and of {names:
 * PATTERN, note: what they are}; false: the fault is in diag. */
bool tensor_names_add(TensorNames *names, const Tree *tensors, const Tree *ignored, Diag *diag);
/* Adds what a family says; name NULL: every family. */
bool tensor_names_add_family(TensorNames *names, const char *name, SrcLoc loc, Diag *diag);
/* Spellings of a weight (layers.3.mixer.D), separated by |; one of several tensors has + between
 * their names. first: the weight's first dimension; layers: how many the model has. */
const char *tensor_names_of(const TensorNames *names, const char *weight, int64_t first,
                            int64_t layers);

#endif
