/* frontend/gguf.h -- private to frontend/: a GGUF file as the checkpoint that it was made of. */
#ifndef SSMC_FRONTEND_GGUF_H
#define SSMC_FRONTEND_GGUF_H

#include "ir/diag.h"
#include "ir/util.h"

typedef struct RtGguf RtGguf;

bool gguf_is(const char *path);
/* The config.json that its key-values make, as a text; NULL: faults are in diag. written: as of a
 * checkpoint that is written of it. *tokenizer: it has one inside. */
const Source *gguf_config(Arena *arena, const char *path, Diag *diag, bool written,
                          bool *tokenizer);

/* The shortest decimal that reads back; of an F32 as an F32, which is what its file meant. */
void gguf_put_number(StrBuf *out, double n, bool is_float);
/* rope_scaling of config.json; nothing where positions are not scaled. False: faults are in diag.
 */
bool gguf_rope(StrBuf *out, const RtGguf *g, const char *arch, const char *path, Diag *diag);

#endif
