/* frontend/gguf.h -- private to frontend/: a GGUF file as the checkpoint that it was made of. */
#ifndef SSMC_FRONTEND_GGUF_H
#define SSMC_FRONTEND_GGUF_H

#include "ir/diag.h"

bool gguf_is(const char *path);
/* The config.json that its key-values make, as a text; NULL: faults are in diag. *tokenizer: it has
 * one inside. */
const Source *gguf_config(Arena *arena, const char *path, Diag *diag, bool *tokenizer);

#endif
