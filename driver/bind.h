/* driver/bind.h -- private to driver/: under which names a checkpoint has the weights of a graph.
 */
#ifndef SSMC_DRIVER_BIND_H
#define SSMC_DRIVER_BIND_H

#include "driver/driver.h"

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
/* All tensors of the first spelling whose tensors are all there; how many. 0: there is none; the
 * list has those that are there, then NULL, and *missing is the first that is not. */
int naming_members(const Naming *naming, Arena *arena, const char *spellings,
                   const RtTensor ***list, const char **missing);

#endif
