/* frontend/embed.h -- the YAML files of frontend/blocks and frontend/families inside the binary. */
#ifndef SSMC_FRONTEND_EMBED_H
#define SSMC_FRONTEND_EMBED_H

#include "frontend/yaml.h"

typedef struct {
    const char *name; /* blocks/mamba2.yaml */
    const char *text; /* NUL-terminated */
    size_t len;
} FeEmbedded;

/* Made at build time (cmake/embed.cmake). */
extern const FeEmbedded fe_embedded[];
extern const int fe_embedded_count;

Tree *embedded_tree(Arena *arena, const FeEmbedded *file); /* dies where the file is no YAML */
bool embedded_has(const Source *source);                   /* whether it is one of these files */

#endif
