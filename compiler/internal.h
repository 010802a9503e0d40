/* compiler/internal.h -- private to compiler/: the steps that others are made of, and under which
 * names a checkpoint has the weights of a graph. */
#ifndef SSMC_COMPILER_INTERNAL_H
#define SSMC_COMPILER_INTERNAL_H

#include "compiler/compiler.h"

/* The description once more, with a weight of its own where another served in its place. */
int describe_untied(Job *job);
/* Opens the model of a compiled MODEL's variant: its weights are inside, or in files. */
ssmc_status compiled_open(Job *job, ssmc_progress *progress, void *user);

/* By what job->measured has: graph[entry] through its pipeline; all, to a module; to a program. */
int program_passes(Job *job, EntryId entry);
int program_module(Job *job);
int program_build(Job *job);
/* --tune exhaustive: job->measured, once for a machine. (measure.c) */
int job_measure(Job *job);

/* Progress of the runtime to a listener. */
typedef struct {
    const Listener *to;
    const char *what;
} Bar;
Bar bar_start(const Job *job, const char *what);
ssmc_progress bar_call; /* user: a Bar */
void bar_end(const Bar *bar);

/* How a checkpoint's names differ from every known spelling: one prefix for another. */
typedef struct {
    const ssmc_weights *weights;
    const char *drop, *add; /* NULL: as they are spelled */
} Naming;

/* The naming under which most of the graph's weights are found; as they are spelled if that finds
 * as many. *found: how many. */
Naming naming_choose(Arena *arena, const Graph *g, const ssmc_weights *weights, int *found);
/* The tensor of a weight by its spellings, separated by |; of a spelling of several tensors, with +
 * between them, the first of them. NULL: there is none, or not all of them. */
const RtTensor *naming_find(const Naming *naming, const char *spellings);
/* Once weights are bound, where formats are of integers: projections of tensors in blocks of
 * several types become several, each of one. False: no memory; the runtime's last error says so.
 * (apart.c) */
bool weights_apart(Graph *g, ssmc_weights *weights);
/* All tensors of the first spelling whose tensors are all there; how many. 0: there is none; the
 * list has those that are there, then NULL, and *missing is the first that is not. */
int naming_members(const Naming *naming, Arena *arena, const char *spellings,
                   const RtTensor ***list, const char **missing);

#endif
